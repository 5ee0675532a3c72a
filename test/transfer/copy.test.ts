import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { type Descriptor, digestHex } from '../../src/oci/index.ts';
import { RegistryClient } from '../../src/registry/index.ts';
import { type CopyOptions, copyImage, openSource, openTarget, parseLocation } from '../../src/transfer/index.ts';
import { noise, pushImage, pushIndex, tarOf, testImage } from '../pull/support/test-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { skopeo } from '../support/foreign-clients.ts';
import { rootMissing } from '../support/root.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { blobName } from './support.ts';

const shared = tarOf({ 'a/': '', 'a/one': noise(200_000, 1) });
const platform = (architecture: string) => ({ os: 'linux', architecture });
const amd = testImage({ layers: [shared, tarOf({ amd: 'x' })], platform: platform('amd64') });
const arm = testImage({ layers: [shared, tarOf({ arm: 'x' })], platform: platform('arm64') });
const entry = (image: typeof amd, architecture: string) => ({ ...image.manifest, platform: platform(architecture) });

describe.skipIf(dockerRegistryMissing)(`copies (needs: ${dockerRegistryMissing ?? 'nothing more'})`, () => {
  let registry: DockerRegistry;
  let client: RegistryClient;
  let index: Descriptor;
  let at: string;

  beforeAll(async () => {
    registry = await startDockerRegistry();
    client = new RegistryClient({ credentials: async () => [] });
    at = registry.address;
    await pushImage(registry, 'app', 'amd', amd);
    await pushImage(registry, 'app', 'arm', arm);
    index = await pushIndex(registry, 'app', '1', [entry(amd, 'amd64'), entry(arm, 'arm64')]);
  });
  afterAll(async () => {
    await client.close();
    await registry.close();
  });

  let folder: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  async function copy(from: string, to: string, options: CopyOptions = {}) {
    const source = await openSource(parseLocation(from), client);
    try {
      const target = await openTarget(parseLocation(to), client);
      try {
        const result = await copyImage(source.source, target.target, { labels: target.labels, ...options });
        await target.commit();
        return result;
      } finally {
        await target.close();
      }
    } finally {
      await source.close();
    }
  }

  test('one platform of an index, or all of it', async () => {
    const one = await copy(`${at}/app:1`, `oci:${folder}/one:x`, { platform: platform('arm64') });
    expect(one).toMatchObject({ descriptor: { digest: arm.manifest.digest }, blobsWritten: 3 });
    const all = await copy(`${at}/app:1`, `oci:${folder}/all`, { platform: 'all' });
    expect(all).toMatchObject({ descriptor: { digest: index.digest }, manifests: 3, blobs: 5, blobsWritten: 5 });
    const missing = copy(`${at}/app:1`, `oci:${folder}/none`, { platform: platform('s390x') });
    await expect(missing).rejects.toMatchObject({ code: 'ERR_LADING_PLATFORM_NOT_AVAILABLE' });
    expect(existsSync(`${folder}/none`)).toBe(false);
  });

  test('the configuration says what an entry without platform runs on; an artifact is no substitute for it', async () => {
    const notes = testImage({ layers: [shared], configMediaType: 'application/vnd.example.notes' });
    await pushImage(registry, 'app', 'notes', notes);
    await pushIndex(registry, 'app', 'silent', [notes.manifest, amd.manifest, arm.manifest]);
    await pushIndex(registry, 'app', 'silent-notes', [notes.manifest]);
    const copied = async (tag: string, architecture: string) => {
      const to = `oci:${folder}:${tag}-${architecture}`;
      return (await copy(`${at}/app:${tag}`, to, { platform: platform(architecture) })).descriptor.digest;
    };
    expect(await copied('silent', 'amd64')).toBe(amd.manifest.digest);
    expect(await copied('silent', 'arm64')).toBe(arm.manifest.digest);
    expect(await copied('silent-notes', 'arm64')).toBe(notes.manifest.digest);
    await expect(copied('silent', 's390x')).rejects.toMatchObject({
      code: 'ERR_LADING_PLATFORM_NOT_AVAILABLE',
      data: { available: ['linux/amd64', 'linux/arm64'] },
    });
  });

  test('a single manifest for another platform than is asked for is copied with a warning', async () => {
    const warnings = async (tag: string, options: CopyOptions) =>
      (await copy(`${at}/app:${tag}`, `oci:${folder}:x`, options)).warnings;
    const unlike = ['the image is for linux/amd64, not for linux/arm64'];
    expect(await warnings('amd', { platform: platform('arm64') })).toEqual(unlike);
    expect(await warnings('amd', { platform: platform('amd64') })).toEqual([]);
    expect(await warnings('amd', { platform: 'all' })).toEqual([]);
    expect([...(await warnings('amd', {})), ...(await warnings('arm', {}))]).toEqual([]);
    const notes = testImage({ layers: [shared], configMediaType: 'application/vnd.example.notes' });
    await pushImage(registry, 'app', 'only-notes', notes);
    expect(await warnings('only-notes', { platform: platform('arm64') })).toEqual([]);
  });

  test('between all kinds of places, and back to the same digest', async () => {
    const all = { platform: 'all' } as const;
    await copy(`${at}/app:1`, `oci:${folder}/layout:v1`, all);
    await copy(`oci:${folder}/layout:v1`, `oci-archive:${folder}/x.tar:v1`, all);
    await copy(`oci-archive:${folder}/x.tar`, `${at}/back:1`, all);
    expect((await client.resolve({ registry: at, repository: 'back', tag: '1' })).descriptor.digest).toBe(index.digest);
    await copy(`${at}/back:1`, `docker-archive:${folder}/d.tar:app:1`, { platform: platform('amd64') });
    const fromDocker = await copy(`docker-archive:${folder}/d.tar`, `${at}/docker:1`);
    expect(await skopeo('inspect', '--tls-verify=false', '--config', '--raw', `docker://${at}/docker:1`)).toBe(
      amd.blobs[0]!.toString(),
    );
    expect(fromDocker).toMatchObject({ blobs: 3, blobsWritten: 3 });
    expect(await readdir(folder)).toEqual(['d.tar', 'layout', 'x.tar']);
    expect(await readdir(`${folder}/layout`)).toEqual(['blobs', 'index.json', 'oci-layout']);
  });

  test('links blobs inside a registry, and sends nothing that is there', async () => {
    const before = (await registry.requests()).length;
    await copy(`${at}/app:amd`, `${at}/linked:1`);
    const requests = (await registry.requests()).slice(before);
    expect(requests.filter(({ method, path: asked }) => method === 'GET' && asked.includes('/blobs/'))).toEqual([]);
    expect(requests.filter(({ method }) => method === 'POST')).toHaveLength(3);
    const again = await copy(`${at}/app:amd`, `${at}/linked:1`);
    expect(again).toMatchObject({ blobs: 3, blobsWritten: 0, bytesWritten: 0 });
  });

  test.each(['app:amd', `app@${amd.manifest.digest}`])('asks once for the manifest of %s', async (name) => {
    const before = (await registry.requests()).length;
    await copy(`${at}/${name}`, `oci:${folder}:a`);
    const requests = (await registry.requests()).slice(before);
    const manifests = requests.filter(({ path: asked }) => asked.includes('/manifests/'));
    expect(manifests.map(({ method }) => method)).toEqual(['GET']);
  });

  test('a layout keeps what it has; a label moves', async () => {
    await copy(`${at}/app:amd`, `oci:${folder}:a`);
    await copy(`${at}/app:amd`, `oci:${folder}:b`);
    await copy(`${at}/app:arm`, `oci:${folder}:a`);
    const { manifests } = JSON.parse(await readFile(`${folder}/index.json`, 'utf8'));
    const labels = manifests.map((each: Descriptor) => [each.digest, Object.values(each.annotations!)[0]]);
    expect(labels).toEqual([
      [amd.manifest.digest, 'b'],
      [arm.manifest.digest, 'a'],
    ]);
  });

  test.each(['{"manifests":[', 'null', '[]', '{"manifests":{}}', '{"manifests":[null]}'])(
    'a layout whose index is %s is refused and stays',
    async (text) => {
      await copy(`${at}/app:amd`, `oci:${folder}:a`);
      const file = `${folder}/index.json`;
      await writeFile(file, text);
      await expect(copy(`${at}/app:arm`, `oci:${folder}:b`)).rejects.toMatchObject({
        code: 'ERR_LADING_ARCHIVE_INVALID',
        message: expect.stringContaining(`${file} cannot be used: `),
      });
      expect(await readFile(file, 'utf8')).toBe(text);
    },
  );

  test('a layout whose index has null for its empty list, as Go writes it, takes an image', async () => {
    await copy(`${at}/app:amd`, `oci:${folder}:a`);
    await writeFile(`${folder}/index.json`, '{"schemaVersion":2,"manifests":null,"annotations":{"a":"b"}}');
    await copy(`${at}/app:arm`, `oci:${folder}:b`);
    expect(JSON.parse(await readFile(`${folder}/index.json`, 'utf8'))).toMatchObject({
      manifests: [{ digest: arm.manifest.digest }],
      annotations: { a: 'b' },
    });
  });

  test('copies to one layout at the same time keep each other', async () => {
    await Promise.all(['a', 'b', 'c', 'd'].map((label) => copy(`${at}/app:amd`, `oci:${folder}:${label}`)));
    const { manifests } = JSON.parse(await readFile(`${folder}/index.json`, 'utf8'));
    const labels = manifests.map(({ annotations }: Descriptor) => Object.values(annotations!)[0]);
    expect(labels.sort()).toEqual(['a', 'b', 'c', 'd']);
  });

  test('a layout that is no folder, or not there, is named so', async () => {
    await writeFile(`${folder}/file.tar`, 'x');
    for (const [name, problem] of [
      ['file.tar', 'it is no folder'],
      ['nothing', 'there is no such folder'],
    ]) {
      const message = `cannot read ${folder}/${name}: ${problem}`;
      await expect(copy(`oci:${folder}/${name}`, `oci:${folder}/to`)).rejects.toMatchObject({ message });
    }
  });

  test('a folder with other things in it is no layout', async () => {
    await mkdir(`${folder}/home`);
    await writeFile(`${folder}/home/letter`, 'x');
    const refused = copy(`${at}/app:amd`, `oci:${folder}/home`);
    await expect(refused).rejects.toMatchObject({ code: 'ERR_LADING_ARCHIVE_INVALID' });
    expect(await readdir(`${folder}/home`)).toEqual(['letter']);
  });

  test.each(['oci', 'oci-archive', 'docker-archive', 'registry'])(
    'a damaged or missing blob never gets a name at %s',
    async (kind) => {
      await copy(`${at}/app:amd`, `oci:${folder}/layout`);
      const blob = path.join(folder, 'layout', blobName(amd.layers[0]!.digest));
      const bytes = await readFile(blob);
      const to = kind === 'registry' ? `${at}/hostile-${kind}:1` : `${kind}:${folder}/out`;
      await rm(blob);
      await expect(copy(`oci:${folder}/layout`, to)).rejects.toMatchObject({ code: 'ERR_LADING_ARCHIVE_INCOMPLETE' });
      await writeFile(blob, bytes.fill(1, 100, 200));
      await expect(copy(`oci:${folder}/layout`, to)).rejects.toMatchObject({
        code: 'ERR_LADING_DIGEST_MISMATCH',
        message: expect.stringContaining(`OCI layout ${folder}/layout: content of `),
      });
      if (kind === 'registry')
        await expect(client.resolve(referenceOf(to))).rejects.toMatchObject({ data: { status: 404 } });
      else if (kind === 'oci') expect(existsSync(`${folder}/out/index.json`)).toBe(false);
      else expect(await readdir(folder)).toEqual(['layout']);
    },
  );

  test.each([
    ['one platform', { platform: platform('arm64') }],
    ['all platforms', { platform: 'all' }],
    ['an entry that is listed twice', { platform: 'all' }],
  ] as const)('an index that says a wrong size of a manifest is refused: %s', async (which, options) => {
    const right = entry(arm, 'arm64');
    const wrong = { ...right, size: right.size + 1 };
    const entries = which.endsWith('twice') ? [right, wrong] : [entry(amd, 'amd64'), wrong];
    await pushIndex(registry, 'app', 'wrong-size', entries);
    await expect(copy(`${at}/app:wrong-size`, `oci:${folder}/out`, options)).rejects.toMatchObject({
      code: 'ERR_LADING_SIZE_MISMATCH',
      message: `registry ${at}: content of ${right.digest} has ${right.size} bytes, its descriptor says ${wrong.size}`,
    });
    expect(existsSync(`${folder}/out/index.json`)).toBe(false);
  });

  test('a docker archive takes no index, and a name by digest no other digest', async () => {
    const indexed = copy(`${at}/app:1`, `docker-archive:${folder}/x.tar`, { platform: 'all' });
    await expect(indexed).rejects.toMatchObject({ code: 'ERR_LADING_ARCHIVE_ONE_PLATFORM' });
    const named = copy(`${at}/app:amd`, `${at}/app@${arm.manifest.digest}`);
    await expect(named).rejects.toMatchObject({ code: 'ERR_LADING_DIGEST_MISMATCH' });
    expect(await readdir(folder)).toEqual([]);
  });

  test('aborted, it leaves nothing to see', async () => {
    const abort = new AbortController();
    onTestFinished(() => abort.abort());
    const stopped = copy(`${at}/app:amd`, `oci-archive:${folder}/x.tar`, {
      signal: abort.signal,
      onProgress: ({ state }) => state === 'done' && abort.abort(new Error('enough')),
    });
    await expect(stopped).rejects.toThrow('enough');
    expect(await readdir(folder)).toEqual([]);
  });

  // Which unpacks archives for that, with their owners.
  test.skipIf(rootMissing)('skopeo reads what was written', async () => {
    await copy(`${at}/app:amd`, `oci:${folder}/layout:v1`);
    await copy(`${at}/app:amd`, `oci-archive:${folder}/o.tar:v1`);
    await copy(`${at}/app:amd`, `docker-archive:${folder}/d.tar:app:1`);
    for (const source of [
      `oci:${folder}/layout:v1`,
      `oci-archive:${folder}/o.tar:v1`,
      `docker-archive:${folder}/d.tar:app:1`,
    ]) {
      const target = `${folder}/${source.replace(/\W/g, '')}`;
      await skopeo('copy', '-q', source, `dir:${target}`);
      expect(await readFile(`${target}/${digestHex(amd.config.digest)}`)).toEqual(amd.blobs[0]);
    }
  });

  test('what skopeo wrote is read', async () => {
    const remote = `docker://${at}/app:amd`;
    await skopeo('copy', '-q', '--src-tls-verify=false', remote, `oci-archive:${folder}/o.tar:some:label`);
    await skopeo('copy', '-q', '--src-tls-verify=false', remote, `docker-archive:${folder}/d.tar:app:7`);
    await copy(`oci-archive:${folder}/o.tar:some:label`, `${at}/s:1`);
    expect((await client.resolve({ registry: at, repository: 's', tag: '1' })).descriptor.digest).toBe(
      amd.manifest.digest,
    );
    await copy(`docker-archive:${folder}/d.tar:app:7`, `oci:${folder}/layout`);
    expect(existsSync(path.join(folder, 'layout', blobName(amd.config.digest)))).toBe(true);
  });

  function referenceOf(text: string) {
    const location = parseLocation(text);
    return location.kind === 'registry' ? location.reference : expect.fail();
  }
});
