import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Descriptor, digestOf, mediaTypes, parseDigest } from '../../src/oci/index.ts';
import { referrersTag } from '../../src/registry/referrers-tag.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { sendJson } from '../support/hostile-server.ts';
import { descriptorOf, failureOf, newClient, newServer, pushImage, referenceAt, testImage } from './fixtures.ts';

const image = testImage();
const subject = image.descriptor.digest;

const entry = (name: string, artifactType: string): Descriptor => ({
  mediaType: mediaTypes.ociManifest,
  digest: digestOf(name),
  size: 100,
  artifactType,
});
const indexOf = (...manifests: readonly object[]) => ({
  schemaVersion: 2,
  mediaType: mediaTypes.ociIndex,
  manifests,
});
const asIndex = { 'content-type': mediaTypes.ociIndex };

test.each([
  [`sha256:${'a'.repeat(64)}`, `sha256-${'a'.repeat(64)}`],
  [`sha512:${'a'.repeat(128)}`, `sha512-${'a'.repeat(64)}`],
])('the tag that stands for the list of %s', (digest, tag) => {
  expect(referrersTag(parseDigest(digest))).toBe(tag);
});

describe('a registry with a list of referrers', () => {
  const [signature, sbom, other] = [entry('1', 'sig'), entry('2', 'sbom'), entry('3', 'sig')];

  test('is read to the last page, and filtered here unless it says that it did', async () => {
    const server = await newServer(({ path }, response) => {
      const next = path.includes('page=2') ? {} : { link: `<${path}&page=2>; rel="next"` };
      sendJson(response, 200, path.includes('page=2') ? indexOf(other) : indexOf(signature, sbom), {
        ...asIndex,
        ...next,
      });
    });
    const { client } = newClient();
    const list = (artifactType?: string) =>
      client.listReferrers(referenceAt(server), subject, artifactType === undefined ? {} : { artifactType });
    expect(await list('sig')).toEqual([signature, other]);
    expect(server.log[0]).toBe(`GET /v2/team/app/referrers/${subject}?artifactType=sig`);
    const all = await newServer((_, response) => sendJson(response, 200, indexOf(signature, sbom), asIndex));
    expect(await client.listReferrers(referenceAt(all), subject)).toEqual([signature, sbom]);
    const filtering = await newServer((_, response) =>
      sendJson(response, 200, indexOf(entry('4', 'unknown')), { ...asIndex, 'oci-filters-applied': 'artifactType' }),
    );
    expect(await client.listReferrers(referenceAt(filtering), subject, { artifactType: 'sig' })).toHaveLength(1);
  });

  test('whose list is broken is an error', async () => {
    const server = await newServer((_, response) =>
      sendJson(response, 200, { schemaVersion: 2, manifests: 1 }, asIndex),
    );
    const error = await failureOf(newClient().client.listReferrers(referenceAt(server), subject));
    expect(error.code).toBe('ERR_LADING_MANIFEST_INVALID');
    expect(error.message).toContain(`the referrers of team/app@${subject}`);
  });
});

describe('a registry without one', () => {
  test.each([404, 400, 405, 406, 200])('that answers %d has it under a tag, or none', async (status) => {
    const signature = entry('1', 'sig');
    let tag: object | undefined = indexOf(signature, entry('2', 'sbom'));
    const server = await newServer(({ path }, response) => {
      if (path.includes('/referrers/'))
        return response.writeHead(status, { 'content-type': 'text/html' }).end('<html>');
      return tag ? sendJson(response, 200, tag, asIndex) : response.writeHead(404).end();
    });
    const { client } = newClient();
    const list = () => client.listReferrers(referenceAt(server), subject, { artifactType: 'sig' });
    expect(await list()).toEqual([signature]);
    expect(server.log.at(-1)).toBe(`GET /v2/team/app/manifests/${referrersTag(subject)}`);
    tag = undefined;
    expect(await list()).toEqual([]);
  });

  test('that takes the tag for the digest gives no list, but the image itself', async () => {
    const index = Buffer.from(JSON.stringify(indexOf(entry('1', 'platform'))));
    const server = await newServer(({ path }, response) => {
      response.writeHead(path.includes('/referrers/') ? 404 : 200, asIndex).end(index);
    });
    const { client } = newClient();
    expect(await client.listReferrers(referenceAt(server), digestOf(index))).toEqual([]);
  });
});

/** A signature of the test image. */
function artifact(type: string, annotations: object = {}): { bytes: Buffer; descriptor: Descriptor } {
  const empty = Buffer.from('{}');
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    artifactType: type,
    config: descriptorOf(empty, mediaTypes.ociEmpty),
    layers: [descriptorOf(empty, mediaTypes.ociEmpty)],
    subject: image.descriptor,
    annotations,
  };
  const bytes = Buffer.from(JSON.stringify(manifest));
  return { bytes, descriptor: descriptorOf(bytes, mediaTypes.ociManifest) };
}

describe('pushing what refers to an image', () => {
  const signature = artifact('sig');

  test('leaves the list alone where the registry keeps it', async () => {
    const server = await newServer((_, response) => response.writeHead(201, { 'oci-subject': subject }).end());
    const { client } = newClient();
    const reference = { ...referenceAt(server), digest: signature.descriptor.digest };
    await client.pushManifest(reference, signature.bytes, mediaTypes.ociManifest);
    expect(server.requests.map(({ method }) => method)).toEqual(['PUT']);
  });

  test('adds to the list under the tag, and looks whether somebody else has changed it meanwhile', async () => {
    const theirs = { ...entry('theirs', 'sbom'), 'x-unknown': true };
    let tag: { manifests: readonly object[] } | undefined;
    let writes = 0;
    const server = await newServer(({ method, path, headers, body }, response) => {
      if (!path.includes(referrersTag(subject))) return response.writeHead(201).end();
      if (method === 'GET') {
        return tag ? sendJson(response, 200, tag, { ...asIndex, etag: `"${writes}"` }) : response.writeHead(404).end();
      }
      writes += 1;
      // Another writer was faster once, and the registry does not notice; later it does.
      if (writes === 1) tag = indexOf(theirs);
      else if (writes === 2 && headers['if-match'] !== '"1"') return response.writeHead(412).end();
      else tag = JSON.parse(body.toString());
      return response.writeHead(201).end();
    });
    const { client } = newClient();
    const reference = { ...referenceAt(server), digest: signature.descriptor.digest };
    await client.pushManifest(reference, signature.bytes, mediaTypes.ociManifest);
    expect(tag!.manifests).toEqual([theirs, { ...signature.descriptor, artifactType: 'sig', annotations: {} }]);
    expect(writes).toBe(2);
  });

  test('says so when the list does not hold still', async () => {
    const server = await newServer(({ method }, response) => response.writeHead(method === 'GET' ? 404 : 201).end());
    const { client } = newClient();
    const reference = { ...referenceAt(server), digest: signature.descriptor.digest };
    const error = await failureOf(client.pushManifest(reference, signature.bytes, mediaTypes.ociManifest));
    expect(error.message).toMatch(/list of referrers .* is not kept/);
  });
});

describe('what is not deleted', () => {
  const answering = (status: number, code: string) =>
    newServer(({ method }, response) => {
      if (method !== 'DELETE') return response.writeHead(404).end();
      return sendJson(response, status, { errors: [{ code, message: 'a tag names it' }] });
    });

  test('because nothing is, says so in the registry’s own words too', async () => {
    const server = await answering(405, 'UNSUPPORTED');
    const error = await failureOf(newClient().client.deleteManifest(referenceAt(server)));
    expect(error.code).toBe('ERR_LADING_REGISTRY_UNSUPPORTED');
    expect(error.message).toMatch(/^Registry .* answered 405 .*UNSUPPORTED: a tag names it; it does not delete tags$/);
  });

  test('for a reason of its own is no lack of the registry', async () => {
    const server = await answering(400, 'MANIFEST_IN_USE');
    const error = await failureOf(newClient().client.deleteManifest({ ...referenceAt(server), digest: subject }));
    expect(error.code).toBe('ERR_LADING_REGISTRY_PROTOCOL');
    expect(error.message).toContain('MANIFEST_IN_USE: a tag names it');
    expect(error.hint).toBeUndefined();
  });
});

describe.skipIf(dockerRegistryMissing)(`a docker-registry (${dockerRegistryMissing ?? 'installed'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
  });
  afterAll(() => registry?.close());

  test('lists what was pushed, and no longer what was deleted', async () => {
    const { client } = newClient();
    const reference = referenceAt(registry);
    await pushImage(client, image, reference);
    await client.pushBlob(reference, descriptorOf(Buffer.from('{}')), () => Buffer.from('{}'));
    const signature = artifact('sig', { by: 'me' });
    const sbom = artifact('sbom');
    for (const { bytes, descriptor } of [signature, sbom]) {
      await client.pushManifest({ ...reference, digest: descriptor.digest }, bytes, mediaTypes.ociManifest);
    }
    const listed = await client.listReferrers(reference, subject);
    expect(listed).toEqual([
      { ...signature.descriptor, artifactType: 'sig', annotations: { by: 'me' } },
      { ...sbom.descriptor, artifactType: 'sbom', annotations: {} },
    ]);
    expect(await client.listReferrers(reference, subject, { artifactType: 'sbom' })).toHaveLength(1);
    expect(await client.deleteManifest({ ...reference, digest: signature.descriptor.digest })).toBe(true);
    expect((await client.listReferrers(reference, subject)).map(({ artifactType }) => artifactType)).toEqual(['sbom']);
  });

  test('does not delete tags, and says what to do instead', async () => {
    const { client } = newClient();
    const reference = referenceAt(registry, 'team/tags:1');
    await pushImage(client, image, reference);
    const error = await failureOf(client.deleteManifest(reference));
    expect(error.code).toBe('ERR_LADING_REGISTRY_UNSUPPORTED');
    expect(error.message).toMatch(/does not delete tags/);
    expect(error.hint).toMatch(/Delete the digest/);
  });

  test('takes an index and gives it back', async () => {
    const { client } = newClient();
    const reference = referenceAt(registry, 'team/index:1');
    await pushImage(client, image, { ...reference, digest: image.descriptor.digest });
    const index = Buffer.from(
      JSON.stringify(indexOf({ ...image.descriptor, platform: { os: 'linux', architecture: 'amd64' } })),
    );
    await client.pushManifest(reference, index, mediaTypes.ociIndex);
    const { descriptor } = await client.resolve(reference);
    expect(descriptor).toEqual(descriptorOf(index, mediaTypes.ociIndex));
    expect(Buffer.from((await client.fetchManifest(reference, descriptor.digest)).bytes)).toEqual(index);
  });
});
