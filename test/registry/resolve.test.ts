import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { digestOf, manifestAccept, mediaTypes, parseReference } from '../../src/oci/index.ts';
import { maxManifestBytes } from '../../src/registry/index.ts';
import { failureOf, newClient, newServer, referenceAt, testImage } from './fixtures.ts';

const image = testImage();
const described = {
  'content-type': mediaTypes.ociManifest,
  'docker-content-digest': image.descriptor.digest,
  'content-length': String(image.manifest.length),
};

test('a tag costs one HEAD, on one connection for all, without any body or credential', async () => {
  const server = await newServer((_, response) => response.writeHead(200, described).end());
  const { client, records } = newClient();
  const reference = referenceAt(server);
  for (let round = 0; round < 3; round += 1) {
    const { descriptor, content } = await client.resolve(reference);
    expect(descriptor).toEqual(image.descriptor);
    expect(content).toBeUndefined();
  }
  expect(server.log).toEqual(Array(3).fill('HEAD /v2/team/app/manifests/1.0'));
  expect(new Set(server.requests.map(({ connection }) => connection)).size).toBe(1);
  expect(server.requests[0]!.headers).toMatchObject({
    accept: manifestAccept.join(', '),
    'accept-encoding': 'identity',
    'user-agent': expect.stringMatching(/^lading\/\d/),
  });
  expect(server.requests[0]!.headers.authorization).toBeUndefined();
  expect(records).toHaveLength(3);
  expect(records[0]).toMatchObject({ method: 'HEAD', kind: 'manifest', status: 200, bytes: 0 });
});

test('a tag whose content is wanted costs one GET, whatever the digest header says', async () => {
  const headers = { ...described, 'docker-content-digest': digestOf('something else') };
  const server = await newServer((_, response) => response.writeHead(200, headers).end(image.manifest));
  const { client } = newClient();
  const { descriptor, content } = await client.resolve(referenceAt(server), { withContent: true });
  expect([descriptor, content]).toEqual([image.descriptor, image.manifest]);
  expect(server.log).toEqual(['GET /v2/team/app/manifests/1.0']);
});

test.each([
  ['has no digest', { ...described, 'docker-content-digest': undefined }],
  ['has an invalid digest', { ...described, 'docker-content-digest': 'sha256:123' }],
  ['has the length of nothing', { ...described, 'content-length': '0' }],
  ['has an unknown type', { ...described, 'content-type': 'application/octet-stream' }],
])('where the HEAD %s, a GET tells', async (_, headers) => {
  const server = await newServer(({ method }, response) => {
    const { 'content-length': length, ...others } = headers;
    for (const [name, value] of Object.entries(others)) if (value !== undefined) response.setHeader(name, value);
    response.setHeader('content-length', method === 'HEAD' ? length : image.manifest.length);
    response.end(method === 'HEAD' ? undefined : image.manifest);
  });
  const { descriptor, content } = await newClient().client.resolve(referenceAt(server));
  expect(descriptor).toEqual(image.descriptor);
  expect(content).toEqual(image.manifest);
  expect(server.requests.map(({ method }) => method)).toEqual(['HEAD', 'GET']);
});

test.each([204, 403, 404, 405, 406, 500, 501])('where HEAD is answered %d, a GET decides', async (status) => {
  const server = await newServer(({ method }, response) => {
    response.writeHead(method === 'HEAD' ? status : 200, { 'content-type': mediaTypes.ociManifest });
    response.end(method === 'HEAD' ? undefined : image.manifest);
  });
  expect((await newClient().client.resolve(referenceAt(server))).descriptor).toEqual(image.descriptor);
});

test('the digest header of a GET is not believed', async () => {
  const server = await newServer(({ method }, response) => {
    response.writeHead(method === 'HEAD' ? 405 : 200, {
      'content-type': mediaTypes.ociManifest,
      'docker-content-digest': digestOf('something else'),
    });
    response.end(method === 'HEAD' ? undefined : image.manifest);
  });
  expect((await newClient().client.resolve(referenceAt(server))).descriptor).toEqual(image.descriptor);
});

test('a digest costs one GET, whose content comes along', async () => {
  const server = await newServer((_, response) => response.writeHead(200, described).end(image.manifest));
  const reference = referenceAt(server, `team/app@${image.descriptor.digest}`);
  expect((await newClient().client.resolve(reference)).content).toEqual(image.manifest);
  expect(server.log).toEqual([`GET /v2/team/app/manifests/${image.descriptor.digest}`]);
});

test('a manifest with another digest is refused', async () => {
  const server = await newServer((_, response) => {
    response.writeHead(200, { ...described, 'content-length': image.manifest.length + 1 });
    response.end(Buffer.concat([image.manifest, Buffer.from(' ')]));
  });
  const { client } = newClient();
  const error = await failureOf(client.fetchManifest(referenceAt(server), image.descriptor.digest));
  expect(error.code).toBe('ERR_LADING_REGISTRY_DIGEST_MISMATCH');
  expect(error.data).toMatchObject({ kind: 'digest-mismatch', unreachable: false });
});

test('a manifest that was compressed on the way is decoded, one that is stored compressed is not', async () => {
  const server = await newServer((_, response) => {
    response.writeHead(200, { 'content-type': mediaTypes.ociManifest, 'content-encoding': 'gzip' });
    response.end(gzipSync(image.manifest));
  });
  const { bytes } = await newClient().client.fetchManifest(referenceAt(server), image.descriptor.digest);
  expect(Buffer.from(bytes)).toEqual(image.manifest);
});

test('4 MiB are accepted, one byte more is refused, and an endless body is not read', async () => {
  const padded = (size: number) => {
    const base = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, ...JSON.parse(image.manifest.toString()) };
    const empty = JSON.stringify({ ...base, annotations: { padding: '' } }).length;
    return Buffer.from(JSON.stringify({ ...base, annotations: { padding: 'x'.repeat(size - empty) } }));
  };
  const allowed = padded(maxManifestBytes);
  const tooLarge = padded(maxManifestBytes + 1);
  const server = await newServer(({ path }, response) => {
    response.writeHead(200, { 'content-type': mediaTypes.ociManifest });
    if (path.endsWith(digestOf(allowed))) return response.end(allowed);
    if (path.endsWith(digestOf(tooLarge))) return response.end(tooLarge);
    const more = () => {
      while (response.write(Buffer.alloc(65_536, 32))) if (response.destroyed) return;
    };
    response.on('drain', more).on('error', () => {});
    more();
  });
  const { client } = newClient();
  const reference = referenceAt(server);
  expect((await client.fetchManifest(reference, digestOf(allowed))).bytes).toHaveLength(maxManifestBytes);
  for (const digest of [digestOf(tooLarge), digestOf('endless')]) {
    const error = await failureOf(client.fetchManifest(reference, digest));
    expect(error.code).toBe('ERR_LADING_REGISTRY_TOO_LARGE');
  }
});

test('schema 1 and web pages are refused with what they are', async () => {
  const schema1 = Buffer.from(JSON.stringify({ schemaVersion: 1, name: 'x', fsLayers: [] }));
  const bodies: Record<string, [string, Buffer]> = {
    old: ['application/vnd.docker.distribution.manifest.v1+prettyjws', schema1],
    page: ['text/html', Buffer.from('<html>Sign in</html>')],
  };
  const server = await newServer(({ method, path }, response) => {
    const [type, body] = bodies[path.split('/').at(-1)!]!;
    response.writeHead(200, { 'content-type': type, 'content-length': body.length });
    response.end(method === 'HEAD' ? undefined : body);
  });
  const { client } = newClient();
  expect((await failureOf(client.resolve(referenceAt(server, 'team/app:old')))).code).toBe(
    'ERR_LADING_MANIFEST_SCHEMA1',
  );
  const error = await failureOf(client.resolve(referenceAt(server, 'team/app:page')));
  expect(error.code).toBe('ERR_LADING_MANIFEST_INVALID');
  expect(error.message).toContain(`team/app:page of registry ${server.address}`);
});

test('a name that begins with what is no host is asked for nowhere', async () => {
  const { client, records } = newClient();
  const error = await failureOf(client.resolve(parseReference('my_host.test/app:1')));
  expect(error).toMatchObject({
    code: 'ERR_LADING_REGISTRY_NO_SUCH_HOST',
    message: 'The image has no registry: what its name begins with is not a host',
    hint: expect.stringContaining('no underscores'),
  });
  expect(records).toEqual([]);
});
