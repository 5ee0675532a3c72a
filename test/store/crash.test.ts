import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { statfsSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { BlobStore, openStore, type Store } from '../../src/store/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { factsOf, hourMs, putImage, testStore } from './support/test-store.ts';

const writer = fileURLToPath(new URL('support/layer-writer.ts', import.meta.url));

const whilePutting = [
  ...['blob-verified', 'blob-synced', 'blob-renamed', 'blob-published'].flatMap((point) => [point, `${point}:3`]),
  ...['folder-written', 'folder-synced', 'folder-renamed', 'layer-published'],
];

describe.each(whilePutting)('a kill at %s while an image is stored', (point) => {
  test('leaves a sound store in which the same work succeeds', async () => {
    const root = path.join(await temporaryFolder(), 'node');
    await expectKill([root], point);
    const store = await testStore({ root });
    expect((await store.check()).findings).toEqual([]);
    expect(store.images.list()).toEqual([]);
    expect(store.leases.keys('blob').size).toBe(0);
    const lost = point === 'folder-written' || point === 'folder-synced';
    expect(store.layers.has(digestOf('diff of a'))).toBe(!lost);
    store.close();

    await expectSuccess([root]);
    const again = await testStore({ root });
    expect(again.names.list()).toHaveLength(1);
    await expectSound(again);
    expect(await readdir(path.join(root, 'ingest'))).toEqual([]);
  });

  test('leaves nothing behind once it is old', async () => {
    const root = path.join(await temporaryFolder(), 'node');
    await expectKill([root], point);
    const store = await testStore({ root, now: () => Date.now() + 30 * hourMs });
    await store.collectGarbage();
    expect(await leftovers(root)).toEqual([]);
  });
});

describe.each(['garbage-rows', 'garbage-files'])('a kill at %s while an image is removed', (point) => {
  test('leaves a sound store; the next collection finishes', async () => {
    const root = path.join(await temporaryFolder(), 'node');
    await expectKill([root, 'remove'], point);
    const store = await testStore({ root });
    expect(store.images.list()).toEqual([]);
    await expectSound(store);
    await store.collectGarbage();
    expect(await leftovers(root)).toEqual([]);
  });

  test('leaves a store in which the image can be stored again', async () => {
    const root = path.join(await temporaryFolder(), 'node');
    await expectKill([root, 'remove'], point);
    await expectSuccess([root]);
    const store = await testStore({ root });
    await store.collectGarbage();
    expect(store.images.list()).toHaveLength(1);
    await expectSound(store);
  });
});

test('two processes may store and remove the same image in one store again and again', async () => {
  const root = path.join(await temporaryFolder(), 'node');
  for (let round = 0; round < 3; round += 1) {
    await Promise.all([expectSuccess([root, 'remove']), expectSuccess([root, 'remove']), expectSuccess([root])]);
    const store = await openStore(root);
    await expectSound(store);
    store.close();
  }
});

describe.skipIf(process.getuid?.() !== 0)('a full disk (needs root for a small tmpfs)', () => {
  test('is one clear error with need and room, and gives back what was written', async () => {
    const mountPoint = await smallDisk();
    const store = await testStore({ root: path.join(mountPoint, 'node') });
    const ingest = await store.blobs.openIngest('big', { maxBytes: 64 * 1024 * 1024 });
    const fill = async () => {
      for (;;) await ingest.append(Buffer.alloc(1024 * 1024, 1));
    };
    const error = await fill().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ERR_LADING_DISK_FULL', data: { neededBytes: 64 * 1024 * 1024 } });
    expect(String(error)).toMatch(/no room on the disk of \S+, 67\.1MB are needed, [\d.]+.?B and \d+ inodes are free/);
    expect(await readdir(path.join(store.root, 'ingest'))).toEqual([]);
    const image = await putImage(store, 'small');
    expect(store.images.get(image.id)).toBeDefined();
    await expectSound(store);
  });

  test('while a blob is put is the same error, and leaves nothing', async () => {
    const store = new BlobStore(path.join(await smallDisk(), 'node'));
    const bytes = Buffer.alloc(9 * 1024 * 1024, 1);
    await expect(store.put(bytes)).rejects.toMatchObject({
      code: 'ERR_LADING_DISK_FULL',
      data: { neededBytes: bytes.byteLength },
    });
    expect(await leftovers(store.root)).toEqual([]);
    expect(await store.put(bytes.subarray(0, 1024 * 1024))).toBe(digestOf(bytes.subarray(0, 1024 * 1024)));
  });

  test('does not keep images from being removed', async () => {
    const mountPoint = await smallDisk();
    const store = await testStore({ root: path.join(mountPoint, 'node') });
    const image = await putImage(store, 'a', { names: ['example.com/a:1'] });
    const filler = path.join(mountPoint, 'filler');
    spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k'], { stdio: 'ignore' });
    store.images.remove(image.id);
    const report = await store.collectGarbage();
    expect(report.blobs).toHaveLength(3);
    await rm(filler);
    await store.collectGarbage();
    expect(await readdir(store.root)).toContain('reserve');
    expect((await store.check()).findings).toEqual([]);
  });

  test.each<[string, (folder: string) => void]>([
    ['bytes', (folder) => fillBytes(folder)],
    ['inodes', (folder) => fillInodes(folder)],
  ])('that has no %s left can be read by the next process, which removes images from it', async (_, fill) => {
    const mountPoint = await smallDisk();
    const root = path.join(mountPoint, 'node');
    const before = await openStore(root);
    const image = await putImage(before, 'a', { names: ['example.com/a:1'] });
    before.close();
    fill(mountPoint);
    const reader = await openStore(root, { readOnly: true });
    expect(reader.images.list()).toHaveLength(1);
    reader.close();
    const store = await testStore({ root });
    store.names.remove('example.com/a:1');
    store.images.remove(image.id);
    expect((await store.collectGarbage()).blobs).toHaveLength(3);
    await expectSound(store);
  });

  test('that a process without the reserve finds is said to be full, whatever SQLite calls it', async () => {
    const mountPoint = await smallDisk();
    const root = path.join(mountPoint, 'node');
    (await openStore(root)).close();
    await rm(path.join(root, 'reserve'), { recursive: true });
    fillBytes(mountPoint);
    await expect(openStore(root)).rejects.toMatchObject({ code: 'ERR_LADING_DISK_FULL' });
    fillInodes(mountPoint);
    await expect(openStore(root)).rejects.toMatchObject({ code: 'ERR_LADING_DISK_FULL' });
    const reader = await openStore(root, { readOnly: true });
    expect(reader.images.list()).toEqual([]);
    reader.close();
  });

  test.each([0, 1, 2, 3])(
    'with %i inodes left is one error when a layer or a blob begins, and leaves no folder',
    async (left) => {
      const mountPoint = await smallDisk();
      const store = await testStore({ root: path.join(mountPoint, 'node') });
      await Promise.all(['ingest', 'layers', 'trash'].map((folder) => mkdir(path.join(store.root, folder))));
      fillInodes(mountPoint);
      for (let index = 0; index < left; index += 1) await rm(path.join(mountPoint, `fill-${index}`));
      const begin = [() => store.layers.prepare(digestOf('layer')), () => store.blobs.openIngest('blob')];
      for (const begun of begin) {
        const outcome = await begun().catch((error: unknown) => error);
        if (outcome instanceof Error) expect(outcome).toMatchObject({ code: 'ERR_LADING_DISK_FULL' });
        else await (outcome as { discard(): Promise<void> }).discard();
      }
      expect([...(await readdir(path.join(store.root, 'ingest'))), ...(await leftovers(store.root))]).toEqual([]);
    },
  );

  test('without room for the trash has layers deleted where they are', async () => {
    const mountPoint = await smallDisk();
    const store = await testStore({ root: path.join(mountPoint, 'node') });
    const writer = (await store.layers.prepare(digestOf('layer')))!;
    await mkdir(path.join(writer.dir, 'of the layer'));
    await rm(path.join(store.root, 'trash'), { recursive: true, force: true });
    fillInodes(mountPoint);
    await writer.discard();
    expect(await readdir(path.join(store.root, 'ingest'))).toEqual([]);
    // As a process leaves it that is killed.
    const again = (await store.layers.prepare(digestOf('layer')))!;
    const folder = path.dirname(path.dirname(again.dir));
    await again.discard();
    await rm(path.join(store.root, 'trash'), { recursive: true, force: true });
    for (const left of ['', 'new', 'new/fs']) await mkdir(path.join(folder, left));
    fillInodes(mountPoint);
    await (await store.layers.prepare(digestOf('layer')))!.discard();
    expect(await readdir(path.join(store.root, 'ingest'))).toEqual([]);
  });

  test('does not keep a lease from ending', async () => {
    const mountPoint = await smallDisk();
    const store = await testStore({ root: path.join(mountPoint, 'node') });
    const digests = Array.from({ length: 2000 }, (_, index) => digestOf(`blob ${index}`));
    const lease = store.leases.acquire({ digests, diffIds: [], chainIds: [], images: [] });
    fillBytes(mountPoint);
    lease.release();
    expect(store.leases.keys('blob').size).toBe(0);
  });

  test('while a layer is published leaves no layer and no partial tree', async () => {
    const mountPoint = await smallDisk();
    const store = await testStore({ root: path.join(mountPoint, 'node') });
    const writer = await store.layers.prepare(digestOf('layer'));
    spawnSync('dd', ['if=/dev/zero', `of=${path.join(writer!.dir, 'file')}`, 'bs=4k'], { stdio: 'ignore' });
    const facts = { ...factsOf(digestOf('layer')), warnings: ['w'.repeat(100_000)] };
    await expect(writer!.publish(facts)).rejects.toMatchObject({ code: 'ERR_LADING_DISK_FULL' });
    expect(store.layers.has(digestOf('layer'))).toBe(false);
    expect([...(await readdir(path.join(store.root, 'ingest'))), ...(await leftovers(store.root))]).toEqual([]);
  });

  test('without room for the row of a layer that has its name takes the layer away again', async () => {
    const mountPoint = await smallDisk();
    const store = await testStore({ root: path.join(mountPoint, 'node') });
    const diffId = digestOf('layer');
    const writer = await store.layers.prepare(diffId);
    writeFileSync(path.join(writer!.dir, 'file'), Buffer.alloc(1024 * 1024));
    const roomForFacts = path.join(mountPoint, 'room');
    writeFileSync(roomForFacts, Buffer.alloc(4096));
    fillBytes(mountPoint);
    await rm(roomForFacts);
    await expect(writer!.publish(factsOf(diffId))).rejects.toMatchObject({
      code: 'ERR_LADING_DISK_FULL',
      message: expect.stringContaining('use the database'),
    });
    expect(store.layers.isKnown(diffId)).toBe(false);
    expect([...(await readdir(path.join(store.root, 'ingest'))), ...(await leftovers(store.root))]).toEqual([]);
    expect(statfsSync(mountPoint).bavail * 4096).toBeGreaterThanOrEqual(1024 * 1024);
  });
});

async function expectSound(store: Store): Promise<void> {
  expect((await store.check()).findings).toEqual([]);
}

async function leftovers(root: string): Promise<string[]> {
  const lists = await Promise.all(
    ['blobs/sha256', 'ingest', 'layers', 'fixups', 'trash'].map(async (folder) =>
      (await readdir(path.join(root, folder)).catch(() => [])).map((name) => path.join(folder, name)),
    ),
  );
  return lists.flat();
}

async function expectKill(args: string[], point: string): Promise<void> {
  expect(await run(args, { LADING_CRASH_AT: point })).toEqual([null, 'SIGKILL']);
}

async function expectSuccess(args: string[]): Promise<void> {
  expect(await run(args)).toEqual([0, null]);
}

async function run(args: string[], env: Record<string, string> = {}): Promise<unknown> {
  const child = spawn(process.execPath, [writer, ...args], { env: { ...process.env, ...env }, stdio: 'inherit' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return once(child, 'exit');
}

function fillBytes(folder: string): void {
  for (const bs of ['64k', '512'])
    spawnSync('dd', ['if=/dev/zero', `of=${path.join(folder, `fill-${bs}`)}`, `bs=${bs}`], { stdio: 'ignore' });
}

function fillInodes(folder: string): void {
  try {
    for (let index = 0; ; index += 1) writeFileSync(path.join(folder, `fill-${index}`), '', { flag: 'a' });
  } catch {}
}

async function smallDisk(): Promise<string> {
  const mountPoint = await temporaryFolder();
  const options = 'size=8m,nr_inodes=300';
  expect(spawnSync('mount', ['-t', 'tmpfs', '-o', options, 'tmpfs', mountPoint]).status).toBe(0);
  onTestFinished(() => void spawnSync('umount', ['-l', mountPoint]));
  return mountPoint;
}
