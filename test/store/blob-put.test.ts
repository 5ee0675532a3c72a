import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { BlobStore } from '../../src/store/blob-store.ts';
import { syncFolder } from '../../src/store/disk.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { pattern } from './support/pattern.ts';
import { hourMs, testStore } from './support/test-store.ts';

const putter = fileURLToPath(new URL('support/blob-putter.ts', import.meta.url));
const size = 50_000;
const bytes = pattern(size);
const digest = digestOf(bytes);

describe('bytes that are put', () => {
  test('are a read-only blob, and nothing else is left', async () => {
    const store = new BlobStore(await temporaryFolder());
    const umask = process.umask(0o077);
    onTestFinished(() => void process.umask(umask));
    expect(await store.put(bytes)).toBe(digest);
    expect((await stat(store.path(digest))).mode & 0o777).toBe(0o444);
    expect(bytes.equals(await store.read(digest, { maxBytes: size }))).toBe(true);
    expect(await readdir(path.join(store.root, 'ingest'))).toEqual([]);
  });

  test('and are not what was expected are no blob', async () => {
    const store = new BlobStore(await temporaryFolder());
    for (const [expected, code] of [
      [{ digest: digestOf('other') }, 'ERR_LADING_DIGEST_MISMATCH'],
      [{ digest: digestOf('other'), size }, 'ERR_LADING_DIGEST_MISMATCH'],
      [{ digest, size: size + 1 }, 'ERR_LADING_SIZE_MISMATCH'],
      [{ digest, size: size - 1 }, 'ERR_LADING_SIZE_MISMATCH'],
    ] as const) {
      await expect(store.put(bytes, expected)).rejects.toMatchObject({ code });
    }
    expect(await readdir(store.root)).toEqual([]);
    const sha512 = digestOf(bytes, 'sha512');
    expect(await store.put(bytes, { digest: sha512, size })).toBe(sha512);
    expect(await store.size(sha512)).toBe(size);
  });

  test('by several processes at once are one blob', async () => {
    const root = await temporaryFolder();
    const exits = [1, 2, 3, 4].map(() => once(start([root, String(size)]), 'exit'));
    expect(await Promise.all(exits)).toEqual(exits.map(() => [0, null]));
    const store = new BlobStore(root);
    await Promise.all([store.put(pattern(1000)), store.put(pattern(1000)), store.put(pattern(2000))]);
    for (const each of [size, 1000, 2000]) {
      expect(pattern(each).equals(await store.read(digestOf(pattern(each)), { maxBytes: each }))).toBe(true);
    }
    expect(await readdir(path.join(root, 'ingest'))).toEqual([]);
  });

  test('that cannot be written are one error', async () => {
    const store = new BlobStore(await temporaryFolder());
    await mkdir(store.path(digest), { recursive: true });
    await writeFile(path.join(store.path(digest), 'strange'), '');
    await expect(store.put(bytes)).rejects.toMatchObject({ code: expect.stringMatching(/^E/) });
    expect(await readdir(path.join(store.root, 'ingest'))).toEqual([]);
  });
});

describe.each(['blob-verified', 'blob-synced', 'blob-renamed', 'blob-published'])('a kill at %s of a put', (point) => {
  const killed = async () => {
    const root = path.join(await temporaryFolder(), 'node');
    await mkdir(root);
    expect(await once(start([root, String(size)], { LADING_CRASH_AT: point }), 'exit')).toEqual([null, 'SIGKILL']);
    const hasName = point === 'blob-renamed' || point === 'blob-published';
    expect(await new BlobStore(root).size(digest)).toBe(hasName ? size : undefined);
    expect(await readdir(path.join(root, 'ingest'))).toHaveLength(hasName ? 0 : 1);
    return root;
  };

  test('shows nothing half-made; the next start removes what is left', async () => {
    const root = await killed();
    const store = await testStore({ root });
    expect(await readdir(path.join(root, 'ingest'))).toEqual([]);
    expect((await store.check()).findings).toEqual([]);
    await store.blobs.put(bytes);
    expect(bytes.equals(await store.blobs.read(digest, { maxBytes: size }))).toBe(true);
  });

  test('leaves no more than what a collection takes a day later', async () => {
    const root = path.join(await temporaryFolder(), 'node');
    const store = await testStore({ root, now: () => Date.now() + 30 * hourMs });
    expect(await once(start([root, String(size)], { LADING_CRASH_AT: point }), 'exit')).toEqual([null, 'SIGKILL']);
    const left = await readdir(path.join(root, 'ingest'));
    expect((await store.diskUsage()).ingests).toEqual({ count: left.length, bytes: left.length * size });
    const report = await store.collectGarbage();
    expect([...report.ingests]).toEqual(left);
    expect(report.freedBytes).toBe(size);
    expect(await readdir(path.join(root, 'ingest'))).toEqual([]);
  });
});

test('what is being written is no leftover, however old it is', async () => {
  const store = await testStore({ now: () => Date.now() + 30 * hourMs });
  const ingests = path.join(store.root, 'ingest');
  await mkdir(ingests, { recursive: true });
  const putting = store.blobs.put(bytes);
  // All that it does at once is done after this, and nothing that other threads have done is known yet.
  await new Promise<void>((resolve) => process.nextTick(resolve));
  expect(readdirSync(ingests)).toHaveLength(1);
  store.blobs.removeAbandonedPuts();
  expect((await store.collectGarbage()).ingests).toEqual([]);
  await putting;
  expect(await store.blobs.size(digest)).toBe(size);
});

test('a folder that cannot be synced is an error for all who wait, and for nobody later', async () => {
  const folder = path.join(await temporaryFolder(), 'folder');
  const results = await Promise.allSettled([syncFolder(folder), syncFolder(folder), syncFolder(folder)]);
  expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  await mkdir(folder);
  await Promise.all([syncFolder(folder), syncFolder(folder), syncFolder(folder)]);
  await syncFolder(folder);
});

function start(args: string[], env: Record<string, string> = {}) {
  const child = spawn(process.execPath, [putter, ...args], { env: { ...process.env, ...env }, stdio: 'inherit' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}
