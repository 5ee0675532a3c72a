import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { type Registry, type RegistryOptions, startRegistry } from '../../src/distribution/index.ts';
import { layoutName } from '../../src/distribution/layout-names.ts';
import { type Digest, digestHex, digestOf, mediaTypes } from '../../src/oci/index.ts';
import { openStore } from '../../src/store/index.ts';
import { programMissing, skopeo } from '../support/foreign-clients.ts';
import { tarOfFolder, writeOciLayout } from '../support/oci-layout.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { type Answer, errorCodes, jsonBytes, randomBlob, sendTo } from './support/registry.ts';

const refName = 'org.opencontainers.image.ref.name';

async function serve(
  options: RegistryOptions,
): Promise<{ registry: Registry; get: (path: string) => Promise<Answer> }> {
  const registry = await startRegistry(options);
  onTestFinished(() => registry.close());
  return { registry, get: (target) => sendTo(registry.port, 'GET', target, {}) };
}

test.each([
  [{ [refName]: 'latest' }, { repository: 'here', tag: 'latest' }],
  [{ [refName]: 'V1.0_a-b' }, { repository: 'here', tag: 'V1.0_a-b' }],
  [{ [refName]: 'app:1' }, { repository: 'app', tag: '1' }],
  [{ [refName]: 'team/app:1' }, { repository: 'team/app', tag: '1' }],
  [{ [refName]: 'docker.io/library/nginx:1' }, { registry: 'docker.io', repository: 'library/nginx', tag: '1' }],
  [{ [refName]: 'r.test:5000/a/b:1' }, { registry: 'r.test:5000', repository: 'a/b', tag: '1' }],
  [{ [refName]: `r.test/a@${digestOf('x')}` }, { registry: 'r.test', repository: 'a' }],
  [
    { [refName]: '1', 'io.containerd.image.name': 'r.test/a:1' },
    { registry: 'r.test', repository: 'a', tag: '1' },
  ],
  [{ [refName]: 'no reference at all' }, { repository: 'here' }],
  [{}, { repository: 'here' }],
  [undefined, { repository: 'here' }],
])('an entry with %j is %j', (annotations, expected) => {
  const entry = { mediaType: mediaTypes.ociManifest, digest: digestOf('x'), size: 1 };
  expect(layoutName({ ...entry, ...(annotations && { annotations }) } as never, 'here')).toEqual(expected);
});

/** Writes a layout whose entries are empty indexes that differ. */
async function writeLayout(folder: string, entries: readonly Readonly<Record<string, string>>[]): Promise<Digest[]> {
  await mkdir(path.join(folder, 'blobs', 'sha256'), { recursive: true });
  const manifests = [];
  for (const [number, annotations] of entries.entries()) {
    const bytes = jsonBytes({ schemaVersion: 2, manifests: [], annotations: { number: String(number) } });
    const digest = digestOf(bytes);
    await writeFile(path.join(folder, 'blobs', 'sha256', digestHex(digest)), bytes);
    manifests.push({ mediaType: mediaTypes.ociIndex, digest, size: bytes.byteLength, annotations });
  }
  await writeFile(path.join(folder, 'index.new'), jsonBytes({ schemaVersion: 2, manifests }));
  await rename(path.join(folder, 'index.new'), path.join(folder, 'index.json'));
  return manifests.map(({ digest }) => digest);
}

test('images that only have a tag are in a repository after the folder, or a given one', async () => {
  const folder = path.join(await temporaryFolder(), 'My-Images');
  await writeLayout(folder, [{ [refName]: 'a' }, { [refName]: 'team/app:b' }]);
  const named = await serve({ layout: folder, access: 'read-only' });
  expect((await named.get('/v2/_catalog')).json).toEqual({ repositories: ['my-images', 'team/app'] });
  expect((await named.get('/v2/my-images/tags/list')).json).toEqual({ name: 'my-images', tags: ['a'] });
  const given = await serve({ layout: folder, access: 'read-only', repository: 'given/name' });
  expect((await given.get('/v2/_catalog')).json).toEqual({ repositories: ['given/name'] });
  expect((await given.get('/v2/given/name/tags/list')).json).toEqual({ name: 'given/name', tags: ['a', 'b'] });
});

test('what others add, change and remove is seen at once; a broken index changes nothing', async () => {
  const folder = await temporaryFolder();
  const [first] = await writeLayout(folder, [{ [refName]: 'x/app:1' }]);
  const { get } = await serve({ layout: folder, access: 'read-only' });
  const digestOfTag = async (tag: string) => (await get(`/v2/x/app/manifests/${tag}`)).headers['docker-content-digest'];
  expect(await digestOfTag('1')).toBe(first);
  const digests = await writeLayout(folder, [{ [refName]: 'x/app:2' }, { [refName]: 'x/app:1' }]);
  expect([await digestOfTag('2'), await digestOfTag('1')]).toEqual(digests);
  await writeFile(path.join(folder, 'index.json'), '{"schemaVersion":');
  expect(await digestOfTag('1')).toBe(digests[1]);
  await writeLayout(folder, []);
  expect((await get('/v2/x/app/tags/list')).status).toBe(404);
});

describe('names with a registry', () => {
  const entries = ['docker.io/library/app:1', 'r.test:5000/library/app:1', 'r.test:5000/library/app:2', 'local:1'];

  test('are there with the registry, without it, and as mirrors are asked', async () => {
    const folder = await temporaryFolder();
    const [hub, , second] = await writeLayout(
      folder,
      entries.map((name) => ({ [refName]: name })),
    );
    const { get } = await serve({ layout: folder, access: 'read-only' });
    const digest = async (target: string) => (await get(target)).headers['docker-content-digest'];
    expect(await digest('/v2/docker.io/library/app/manifests/1')).toBe(hub);
    expect(await digest('/v2/library/app/manifests/2')).toBe(second);
    const mirrored = await get('/v2/library/app/manifests/2?ns=r.test%3A5000');
    expect(mirrored.headers).toMatchObject({ 'docker-content-digest': second, 'oci-namespace': 'r.test:5000' });
    expect((await get('/v2/library/app/manifests/2?ns=docker.io')).status).toBe(404);
    expect((await get('/v2/library/app/manifests/2?ns=other.test')).status).toBe(404);
    expect((await get('/v2/_catalog')).json).toEqual({ repositories: ['library/app', 'local'] });
  });

  test('a tag that two registries disagree about is not guessed', async () => {
    const folder = await temporaryFolder();
    const [hub, other] = await writeLayout(
      folder,
      entries.map((name) => ({ [refName]: name })),
    );
    const { get } = await serve({ layout: folder, access: 'read-only' });
    const answer = await get('/v2/library/app/manifests/1');
    expect([answer.status, errorCodes(answer)]).toEqual([404, ['MANIFEST_UNKNOWN']]);
    expect(answer.json.errors[0].message).toContain('say the registry too');
    for (const [registry, digest] of [
      ['docker.io', hub],
      ['r.test:5000', other],
    ] as const) {
      const found = await get(`/v2/library/app/manifests/1?ns=${encodeURIComponent(registry)}`);
      expect(found.headers['docker-content-digest']).toBe(digest);
    }
  });
});

test('a layout that is only read takes no pushes and no deletions', async () => {
  const folder = await temporaryFolder();
  const [digest] = await writeLayout(folder, [{ [refName]: 'x/app:1' }]);
  const { registry } = await serve({ layout: folder, access: 'read-only' });
  const bytes = randomBlob();
  for (const [method, target] of [
    ['POST', '/v2/x/app/blobs/uploads/'],
    ['PUT', '/v2/x/app/manifests/2'],
    ['DELETE', `/v2/x/app/manifests/${digest}`],
    ['DELETE', `/v2/x/app/blobs/${digestOf(bytes)}`],
  ] as const) {
    const answer = await sendTo(registry.port, method, target, { body: bytes });
    expect([answer.status, errorCodes(answer)]).toEqual([405, ['UNSUPPORTED']]);
  }
});

test('a folder that is no layout: a clear error', async () => {
  const folder = await temporaryFolder();
  const error = { code: 'ERR_LADING_DISTRIBUTION_LAYOUT', message: expect.stringContaining(folder) };
  await expect(startRegistry({ layout: folder, access: 'read-only' })).rejects.toMatchObject(error);
  await writeFile(path.join(folder, 'index.json'), '[]');
  await expect(startRegistry({ layout: folder, access: 'read-only' })).rejects.toMatchObject(error);
});

test('a node that has no image yet serves nothing, and what comes later', async () => {
  const root = path.join(await temporaryFolder(), 'node');
  const { get } = await serve({ store: root });
  expect((await get('/v2/_catalog')).json).toEqual({ repositories: [] });
  const store = await openStore(root);
  onTestFinished(() => store.close());
  const bytes = jsonBytes({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
  const digest = await store.blobs.put(bytes);
  const target = { mediaType: mediaTypes.ociIndex, digest, size: bytes.byteLength };
  store.names.set('r.test/app:1', { target, imageId: digest });
  expect((await get('/v2/app/manifests/1?ns=r.test')).body.equals(bytes)).toBe(true);
  store.names.remove('r.test/app:1');
  expect((await get('/v2/app/manifests/1?ns=r.test')).status).toBe(404);
});

test('a manifest whose bytes are damaged is not served', async () => {
  const folder = await temporaryFolder();
  const [digest] = await writeLayout(folder, [{ [refName]: 'x/app:1' }]);
  const file = path.join(folder, 'blobs', 'sha256', digestHex(digest!));
  const { get } = await serve({ layout: folder, access: 'read-only' });
  expect((await get('/v2/x/app/manifests/1')).status).toBe(200);
  await rm(file);
  await writeFile(file, (await readFile(path.join(folder, 'index.json'))).subarray(0, 80));
  expect((await get('/v2/x/app/manifests/1')).status).toBe(500);
});

const noSkopeo = programMissing('skopeo');
test.skipIf(noSkopeo)(
  `skopeo copies an image out of a served layout${noSkopeo ? ` (skipped: ${noSkopeo})` : ''}`,
  async () => {
    const folder = await temporaryFolder();
    const content = path.join(folder, 'content');
    await mkdir(content);
    await writeFile(path.join(content, 'hello'), 'hello\n');
    const layout = path.join(folder, 'source');
    const image = writeOciLayout(layout, { layers: [tarOfFolder(content)], tag: 'tiny' });
    const { registry } = await serve({ layout });
    const copy = path.join(folder, 'copy');
    await skopeo('copy', '--src-tls-verify=false', `docker://${registry.address}/source:tiny`, `oci:${copy}:tiny`);
    const { manifests } = JSON.parse(await readFile(path.join(copy, 'index.json'), 'utf8'));
    expect(manifests[0].digest).toBe(image.manifest);
  },
);
