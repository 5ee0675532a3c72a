import { spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { digestHex, digestOf } from '../../src/oci/digest.ts';
import { BlobStore } from '../../src/store/blob-store.ts';
import { lockFolder, openStore } from '../../src/store/index.ts';
import { fifoWithLateWriter } from '../support/fifo.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { factsOf, hourMs, publishLayer, putImage, testClock, testStore } from './support/test-store.ts';

describe('opening', () => {
  test('a root that does not exist for reading creates nothing and is empty', async () => {
    const root = path.join(await temporaryFolder(), 'none');
    const store = await openStore(root, { readOnly: true });
    expect(store.names.list()).toEqual([]);
    expect(store.images.list()).toEqual([]);
    expect((await store.diskUsage()).totalBytes).toBe(0);
    expect((await store.check()).findings).toEqual([]);
    expect(() => store.names.touch('x')).toThrow(expect.objectContaining({ code: 'ERR_LADING_STORE_READ_ONLY' }));
    store.close();
    await expect(stat(root)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  test('a root whose path is too long for the database says so', async () => {
    const folder = await temporaryFolder();
    const names = Array.from({ length: 3 }, () => 'n'.repeat(200));
    await expect(openStore(path.join(folder, ...names))).rejects.toMatchObject({ code: 'ERR_LADING_ROOT_TOO_LONG' });
    const parent = path.join(folder, 'n'.repeat(200), 'n'.repeat(100));
    const longest = 'l'.repeat(504 - parent.length - '//lading.db'.length);
    const store = await openStore(path.join(parent, longest));
    store.close();
  });

  test('a file for reading is no empty node', async () => {
    const root = path.join(await temporaryFolder(), 'file');
    await writeFile(root, '');
    await expect(openStore(root, { readOnly: true })).rejects.toMatchObject({
      code: 'ENOTDIR',
      message: expect.stringContaining(root),
    });
  });

  test('twice, in turn and side by side, shows the same', async () => {
    const first = await testStore();
    const image = await putImage(first, 'a');
    const second = await testStore({ root: first.root });
    const reader = await testStore({ root: first.root, readOnly: true });
    expect(second.images.get(image.id)).toMatchObject(image);
    expect(reader.images.list()).toEqual(first.images.list());
    expect(() => reader.images.remove(image.id)).toThrow(
      expect.objectContaining({ code: 'ERR_LADING_STORE_READ_ONLY' }),
    );
  });

  test('by many at once works for all of them', async () => {
    const root = path.join(await temporaryFolder(), 'node');
    const stores = await Promise.all([1, 2, 3, 4].map(() => testStore({ root })));
    for (const store of stores) expect(store.images.list()).toEqual([]);
  });

  test.skipIf(process.platform !== 'linux')('in a place that takes no folders fails, and does not try for ever', () => {
    const store = JSON.stringify(new URL('../../src/store/index.ts', import.meta.url).href);
    const script = `const { openStore } = await import(${store}); await openStore('/proc/lading/node');`;
    const { signal, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 10_000,
    });
    expect({ signal, stderr }).toEqual({ signal: null, stderr: expect.stringContaining('ENOENT') });
  });

  test('with something else in the place of the trash, a layer that was left is an error of the next one', async () => {
    const store = await testStore();
    const diffId = digestOf('layer');
    await mkdir(path.join(store.root, 'ingest', `layer-${digestHex(diffId)}`, 'new'), { recursive: true });
    await writeFile(path.join(store.root, 'trash'), '');
    await expect(store.layers.prepare(diffId)).rejects.toThrow('EEXIST');
  });

  test.each<[string, string, (path: string) => Promise<void>]>([
    ['a file', 'blobs', (at) => writeFile(at, '')],
    ['a file', 'blobs/sha256', (at) => writeFile(at, '')],
    ['a file', 'layers', (at) => writeFile(at, '')],
    ['a file', 'fixups', (at) => writeFile(at, '')],
    ['a file', 'ingest', (at) => writeFile(at, '')],
    ['a file', 'trash', (at) => writeFile(at, '')],
    ['a symlink that leads nowhere', 'layers', (at) => symlink('nowhere', at)],
  ])('with %s in the place of %s says what to do, and works when that is done', async (_, folder, put) => {
    const { root } = await testStore();
    const at = path.join(root, folder);
    await mkdir(path.dirname(at), { recursive: true });
    await rm(at, { recursive: true, force: true });
    await put(at);
    for (const readOnly of [true, false]) {
      await expect(openStore(root, { readOnly })).rejects.toMatchObject({
        code: 'ERR_LADING_STORE_DAMAGED',
        message: `cannot open the store: ${at} is not a folder`,
        hint: expect.stringMatching(/^Move it away, then run `lading check --repair`/),
      });
    }
    await rm(at);
    const store = await testStore({ root });
    await putImage(store, 'a', { names: ['example.com/a:1'] });
    expect((await store.check()).findings).toEqual([]);
  });

  test('with a symlink to one in the place of a folder uses that', async () => {
    const store = await testStore();
    const elsewhere = path.join(await temporaryFolder(), 'blobs');
    await mkdir(elsewhere);
    await symlink(elsewhere, path.join(store.root, 'blobs'));
    await putImage(await testStore({ root: store.root }), 'a');
    expect(await readdir(path.join(elsewhere, 'sha256'))).toHaveLength(3);
  });

  test('what a newer version wrote is refused', async () => {
    const store = await testStore();
    store.close();
    const database = new DatabaseSync(path.join(store.root, 'lading.db'));
    database.exec('PRAGMA user_version = 999');
    database.close();
    for (const readOnly of [false, true]) {
      await expect(openStore(store.root, { readOnly })).rejects.toMatchObject({ code: 'ERR_LADING_STORE_NEWER' });
    }
  });

  test('a database that is none is named as damaged', async () => {
    const root = path.join(await temporaryFolder(), 'node');
    await mkdir(root);
    await writeFile(path.join(root, 'lading.db'), 'x'.repeat(8192));
    await expect(openStore(root)).rejects.toMatchObject({ code: 'ERR_LADING_STORE_DAMAGED' });
  });

  test('a record in it that was cut is named as damaged', async () => {
    const store = await testStore();
    const { id } = await putImage(store, 'a');
    const databaseFile = path.join(store.root, 'lading.db');
    const other = new DatabaseSync(databaseFile);
    other.exec('UPDATE images SET record = substr(record, 1, 50)');
    other.close();
    expect(() => store.images.get(id)).toThrow(
      expect.objectContaining({
        code: 'ERR_LADING_STORE_DAMAGED',
        message: `${databaseFile} is damaged: a document in it is no JSON`,
        hint: expect.stringContaining('Move lading.db'),
      }),
    );
  });

  test.skipIf(process.getuid?.() !== 0)('on a read-only file system shows what is stored (needs root)', async () => {
    const source = await testStore();
    const image = await putImage(source, 'a');
    source.close();
    const mountPoint = await tmpfs('64m');
    await cp(source.root, path.join(mountPoint, 'node'), { recursive: true });
    expect(spawnSync('mount', ['-o', 'remount,ro', mountPoint]).status).toBe(0);
    const store = await testStore({ root: path.join(mountPoint, 'node'), readOnly: true });
    expect(store.images.get(image.id)).toMatchObject(image);
    expect(store.layers.has(image.layers[0]!.diffId)).toBe(true);
    await expect(openStore(path.join(mountPoint, 'node'))).rejects.toMatchObject({ code: 'ERR_LADING_DISK_READ_ONLY' });
  });

  test.skipIf(process.getuid?.() !== 0)(
    'an ingest on a read-only file system says that it is (needs root)',
    async () => {
      const mountPoint = await tmpfs('64m');
      expect(spawnSync('mount', ['-o', 'remount,ro', mountPoint]).status).toBe(0);
      const blobs = new BlobStore(path.join(mountPoint, 'layout'));
      await expect(blobs.openIngest('blob')).rejects.toMatchObject({ code: 'ERR_LADING_DISK_READ_ONLY' });
    },
  );
});

test('the root is an OCI image layout whose index follows the names', async () => {
  const store = await testStore();
  const image = await putImage(store, 'a');
  expect(JSON.parse(await readFile(path.join(store.root, 'oci-layout'), 'utf8'))).toEqual({
    imageLayoutVersion: '1.0.0',
  });
  const listed = async () => JSON.parse(await readFile(path.join(store.root, 'index.json'), 'utf8')).manifests;
  expect(await listed()).toEqual([]);
  store.names.set('example.com/a:1', { target: image.manifest, imageId: image.id });
  expect(await listed()).toEqual([
    { ...image.manifest, annotations: { 'org.opencontainers.image.ref.name': 'example.com/a:1' } },
  ]);
  store.names.remove('example.com/a:1');
  expect(await listed()).toEqual([]);
});

test.runIf(process.platform === 'linux')('a fifo in the place of its index is replaced, not waited for', async () => {
  const { root } = await testStore();
  const index = path.join(root, 'index.json');
  const text = await readFile(index, 'utf8');
  await rm(index);
  const hasWriter = fifoWithLateWriter(index);
  await testStore({ root });
  expect(hasWriter()).toBe(false);
  expect(await readFile(index, 'utf8')).toBe(text);
});

test('empty folders of downloads, as a kill leaves them, are away at once; nobody waits for their removal', async () => {
  const root = path.join(await temporaryFolder(), 'node');
  const before = await openStore(root);
  const paused = await before.blobs.openIngest('paused');
  await paused.append(Buffer.from('some'));
  await paused.pause();
  before.close();
  const ingests = path.join(root, 'ingest');
  for (let index = 0; index < 500; index += 1) await mkdir(path.join(ingests, `empty-${index}`));
  const lock = await lockFolder(path.join(ingests, 'held'));
  onTestFinished(() => lock!.release());
  const store = await testStore({ root });
  expect((await readdir(ingests)).sort()).toEqual(['held', 'paused']);
  const trash = path.join(root, 'trash');
  expect(readdirSync(trash).length).toBeGreaterThan(0);
  await vi.waitUntil(() => readdirSync(trash).length === 0, { timeout: 20_000 });
  expect(await store.blobs.ingestSize('paused')).toBe(4);
});

describe('names', () => {
  test('remember what they meant, since when, until when, and when that was last checked', async () => {
    const start = Date.UTC(2026, 0, 1);
    const clock = testClock(start);
    const at = (hours: number) => new Date(start + hours * hourMs).toISOString();
    const store = await testStore({ now: clock.now });
    const [a, b] = [await putImage(store, 'a'), await putImage(store, 'b')];
    const mean = (image: typeof a) => store.names.set('example.com/x:1', { target: image.manifest, imageId: image.id });
    mean(a);
    clock.pass(hourMs);
    store.names.touch('example.com/x:1');
    clock.pass(hourMs);
    mean(b);
    clock.pass(hourMs);
    mean(a);
    clock.pass(hourMs);
    mean(a);
    const meaning = (image: typeof a) => ({ digest: image.manifest.digest, imageId: image.id });
    expect(store.names.history('example.com/x:1')).toEqual([
      { ...meaning(a), firstSeen: at(3), lastSeen: at(4) },
      { ...meaning(b), firstSeen: at(2), lastSeen: at(2), until: at(3) },
      { ...meaning(a), firstSeen: at(0), lastSeen: at(1), until: at(2) },
    ]);
    expect(store.names.get('example.com/x:1')).toEqual({
      name: 'example.com/x:1',
      target: a.manifest,
      imageId: a.id,
      firstSeen: at(3),
      lastSeen: at(4),
    });
    expect(store.names.remove('example.com/x:1')).toBe(true);
    expect(store.names.remove('example.com/x:1')).toBe(false);
    expect(store.names.get('example.com/x:1')).toBeUndefined();
    expect(store.names.history('example.com/x:1')).toHaveLength(3);
    store.names.touch('example.com/x:1');
    expect(store.names.list()).toEqual([]);
  });
});

describe('layers', () => {
  test('become visible only when published, with their facts', async () => {
    const store = await testStore();
    const diffId = digestOf('layer');
    const writer = await store.layers.prepare(diffId);
    expect((await stat(writer!.dir)).mode & 0o777).toBe(0o755);
    await writeFile(path.join(writer!.dir, 'file'), 'hello');
    expect(store.layers.has(diffId)).toBe(false);
    await writer!.discard();
    expect(await readdir(path.join(store.root, 'ingest'))).toEqual([]);
    await expect(store.layers.facts(diffId)).rejects.toMatchObject({ code: 'ERR_LADING_LAYER_MISSING' });
    await publishLayer(store, diffId);
    expect(store.layers.has(diffId)).toBe(true);
    expect(await readFile(path.join(store.layers.dir(diffId), 'file'), 'utf8')).toBe('hello');
    expect((await store.layers.facts(diffId)).diffId).toBe(diffId);
    expect(await store.layers.prepare(diffId)).toBeUndefined();
    expect(store.layers.list()).toEqual([{ diffId, bytes: 5, inodes: 1 }]);
  });

  test('with the facts of another layer are not published', async () => {
    const store = await testStore();
    const writer = await store.layers.prepare(digestOf('layer'));
    await expect(writer!.publish(factsOf(digestOf('other')))).rejects.toMatchObject({
      code: 'ERR_LADING_DIGEST_MISMATCH',
    });
    expect(await readdir(path.join(store.root, 'layers'))).toEqual([]);
  });

  test('are unpacked by one at a time; who waited finds the layer there', async () => {
    const store = await testStore();
    const diffId = digestOf('layer');
    const other = await testStore({ root: store.root });
    const first = await store.layers.prepare(diffId);
    const waiting = other.layers.prepare(diffId);
    await writeFile(first!.entriesFile, '');
    await first!.publish(factsOf(diffId));
    expect(await waiting).toBeUndefined();
    expect(other.layers.has(diffId)).toBe(true);
  });
});

describe('fix-up layers', () => {
  test('are remembered as needed or not', async () => {
    const store = await testStore();
    const [yes, no] = [digestOf('yes'), digestOf('no')];
    expect(store.fixUps.state(yes)).toBe('unknown');
    await (await store.fixUps.prepare(yes))!.publish();
    await (await store.fixUps.prepare(no))!.notNeeded();
    expect([store.fixUps.state(yes), store.fixUps.state(no)]).toEqual(['needed', 'not-needed']);
    expect(await store.fixUps.prepare(yes)).toBeUndefined();
    expect(await store.fixUps.prepare(no)).toBeUndefined();
    expect((await stat(store.fixUps.dir(yes))).isDirectory()).toBe(true);
  });
});

test('disk usage adds up what is stored', async () => {
  const store = await testStore();
  const image = await putImage(store, 'a');
  const ingest = await store.blobs.openIngest('k');
  await ingest.append(Buffer.alloc(1000));
  await ingest.pause();
  const usage = await store.diskUsage();
  const blobBytes = image.manifest.size + image.config.size + image.layers[0]!.descriptor.size;
  expect(usage.blobs).toEqual({ count: 3, bytes: blobBytes });
  expect(usage.layers).toEqual({ count: 1, bytes: 5, inodes: 1 });
  expect(usage.ingests).toEqual({ count: 1, bytes: 1000 });
  expect(usage.totalBytes).toBe(blobBytes + 5 + 1000 + usage.databaseBytes);
});

async function tmpfs(size: string): Promise<string> {
  const mountPoint = await temporaryFolder();
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', mountPoint]).status).toBe(0);
  onTestFinished(() => void spawnSync('umount', ['-l', mountPoint]));
  return mountPoint;
}
