import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { BlobStore } from '../../src/store/blob-store.ts';
import { fifoWithLateWriter } from '../support/fifo.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { pattern } from './support/pattern.ts';

const writer = fileURLToPath(new URL('support/blob-writer.ts', import.meta.url));

describe('a blob', () => {
  test.runIf(process.platform === 'linux')('that nobody goes on with after all leaves no file open', async () => {
    const folder = await temporaryFolder();
    const store = new BlobStore(folder);
    const begun = await store.openIngest('k');
    await begun.append(pattern(1000));
    await begun.pause();
    const given = new AbortController();
    const reason = new Error('given up');
    const opening = store.openIngest('k', { signal: given.signal });
    given.abort(reason);
    await expect(opening).rejects.toBe(reason);
    const open = readdirSync('/proc/self/fd').map((fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`);
      } catch {
        return ''; // that of the listing itself
      }
    });
    expect(open.filter((file) => file.startsWith(folder))).toEqual([]);
  });

  test('is visible only after commit, read-only, and readable whole and in ranges', async () => {
    const store = new BlobStore(await temporaryFolder());
    const bytes = pattern(3_000_001);
    const digest = digestOf(bytes);
    const ingest = await store.openIngest('k');
    for (let at = 0; at < bytes.byteLength; at += 65_536) await ingest.append(bytes.subarray(at, at + 65_536));
    expect(ingest.offset).toBe(bytes.byteLength);
    expect(await store.size(digest)).toBeUndefined();
    expect(await ingest.commit({ digest, size: bytes.byteLength })).toEqual({ digest, size: bytes.byteLength });
    expect(await store.size(digest)).toBe(bytes.byteLength);
    expect((await stat(store.path(digest))).mode & 0o777).toBe(0o444);
    expect(bytes.equals(await store.read(digest, { maxBytes: 4_000_000 }))).toBe(true);
    expect(Buffer.concat(await store.openRead(digest, { start: 10, end: 19 }).toArray())).toEqual(
      bytes.subarray(10, 20),
    );
    expect(await collect(store.list())).toEqual([{ digest, size: bytes.byteLength }]);
    expect(await readdir(path.join(store.root, 'ingest'))).toEqual([]);
    await store.remove(digest);
    await store.remove(digest);
    expect(await store.size(digest)).toBeUndefined();
  });

  test('of zero bytes is a blob', async () => {
    const store = new BlobStore(await temporaryFolder());
    const digest = digestOf('');
    await (await store.openIngest('k')).commit({ digest, size: 0 });
    expect(await store.size(digest)).toBe(0);
  });

  test('may be addressed by sha512', async () => {
    const store = new BlobStore(await temporaryFolder());
    const bytes = pattern(2_000_000);
    for (const algorithm of ['sha512', undefined] as const) {
      const digest = digestOf(bytes, 'sha512');
      const ingest = await store.openIngest('k', { algorithm });
      await ingest.append(bytes);
      await ingest.commit({ digest });
      expect(await store.size(digest)).toBe(bytes.byteLength);
      await store.remove(digest);
    }
  });

  test('that is there already makes a second commit succeed', async () => {
    const store = new BlobStore(await temporaryFolder());
    const bytes = pattern(1000);
    const digest = await store.put(bytes);
    const before = await stat(store.path(digest));
    const ingest = await store.openIngest('again');
    await ingest.append(bytes);
    await ingest.commit({ digest, size: 1000 });
    expect((await stat(store.path(digest))).ino).toBe(before.ino);
    expect(await store.put(bytes)).toBe(digest);
  });

  test('with a file of another size in its place is written anew', async () => {
    const store = new BlobStore(await temporaryFolder());
    const bytes = pattern(1000);
    const digest = digestOf(bytes);
    await mkdir(path.dirname(store.path(digest)), { recursive: true });
    await writeFile(store.path(digest), 'cut off');
    expect(await store.put(bytes)).toBe(digest);
    expect(await store.size(digest)).toBe(1000);
  });

  test.runIf(process.platform === 'linux').each<[string, (path: string) => unknown]>([
    ['a fifo', fifoWithLateWriter],
    ['a folder', (at) => mkdir(at)],
  ])('is missing with %s in its place', async (_, put) => {
    const store = new BlobStore(await temporaryFolder());
    const digest = digestOf('x');
    await mkdir(path.dirname(store.path(digest)), { recursive: true });
    await put(store.path(digest));
    await expect(store.read(digest, { maxBytes: 9 })).rejects.toMatchObject({ code: 'ERR_LADING_BLOB_MISSING' });
  });

  test('that is missing, too large or damaged is an error, not content', async () => {
    const store = new BlobStore(await temporaryFolder());
    const digest = await store.put(pattern(1000));
    await expect(store.read(digest, { maxBytes: 999 })).rejects.toMatchObject({ code: 'ERR_LADING_BLOB_TOO_LARGE' });
    await expect(store.read(digestOf('x'), { maxBytes: 9 })).rejects.toMatchObject({ code: 'ERR_LADING_BLOB_MISSING' });
    const damaged = new BlobStore(await temporaryFolder());
    await mkdir(path.dirname(damaged.path(digest)), { recursive: true });
    await writeFile(damaged.path(digest), Buffer.alloc(1000));
    await expect(damaged.read(digest, { maxBytes: 1000 })).rejects.toMatchObject({ code: 'ERR_LADING_BLOB_DAMAGED' });
  });

  test('a root that does not exist has no blobs and stays away', async () => {
    const root = path.join(await temporaryFolder(), 'none');
    const store = new BlobStore(root);
    expect(await store.size(digestOf('x'))).toBeUndefined();
    expect(await store.ingestSize('k')).toBe(0);
    expect(await collect(store.list())).toEqual([]);
    await expect(stat(root)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('an ingest', () => {
  test('with the wrong digest or size publishes nothing and drops its data', async () => {
    const store = new BlobStore(await temporaryFolder());
    const wrong = await store.openIngest('k');
    await wrong.append(pattern(10));
    await expect(wrong.commit({ digest: digestOf('other'), size: 10 })).rejects.toMatchObject({
      code: 'ERR_LADING_DIGEST_MISMATCH',
      data: { expected: digestOf('other'), actual: digestOf(pattern(10)) },
    });
    expect(await store.ingestSize('k')).toBe(0);
    const short = await store.openIngest('k');
    await short.append(pattern(10));
    await expect(short.commit({ digest: digestOf(pattern(10)), size: 11 })).rejects.toMatchObject({
      code: 'ERR_LADING_SIZE_MISMATCH',
    });
    expect(await store.ingestSize('k')).toBe(0);
    expect(await collect(store.list())).toEqual([]);
  });

  test('takes no byte more than allowed, whoever wrote them', async () => {
    const store = new BlobStore(await temporaryFolder());
    const capped = await store.openIngest('k', { maxBytes: 10 });
    await capped.append(pattern(10));
    await expect(capped.append(pattern(1))).rejects.toMatchObject({ code: 'ERR_LADING_SIZE_MISMATCH' });
    expect(await store.ingestSize('k')).toBe(0);
    const long = await store.openIngest('k');
    await long.append(pattern(20));
    await long.pause();
    const again = await store.openIngest('k', { maxBytes: 10 });
    expect(again.offset).toBe(0);
    await again.discard();
  });

  test('goes on where it paused, hashing what is there', async () => {
    const store = new BlobStore(await temporaryFolder());
    const bytes = pattern(2_500_000);
    const first = await store.openIngest('k');
    await first.append(bytes.subarray(0, 1_700_000));
    await first.pause();
    expect(await store.ingestSize('k')).toBe(1_700_000);
    const second = await store.openIngest('k', { maxBytes: bytes.byteLength });
    expect(second.offset).toBe(1_700_000);
    await second.append(bytes.subarray(1_700_000));
    await second.commit({ digest: digestOf(bytes), size: bytes.byteLength });
    expect(bytes.equals(await readFile(store.path(digestOf(bytes))))).toBe(true);
  });

  test('can start over', async () => {
    const store = new BlobStore(await temporaryFolder());
    const ingest = await store.openIngest('k');
    await ingest.append(pattern(1_500_000));
    await ingest.restart();
    expect(ingest.offset).toBe(0);
    await ingest.append(pattern(500));
    await ingest.commit({ digest: digestOf(pattern(500)), size: 500 });
  });

  test('refuses to be used after its end, and keys that are paths', async () => {
    const store = new BlobStore(await temporaryFolder());
    const ingest = await store.openIngest('k');
    await ingest.discard();
    await ingest.discard();
    await ingest.pause();
    await expect(ingest.append(pattern(1))).rejects.toMatchObject({ code: 'ERR_LADING_INGEST_ENDED' });
    for (const key of ['', '.', '..', 'a/b', '../x', 'x'.repeat(201)]) {
      await expect(store.openIngest(key)).rejects.toMatchObject({ code: 'ERR_LADING_INGEST_KEY' });
    }
  });

  test('is exclusive within a process, and waiting for it can be aborted', async () => {
    const store = new BlobStore(await temporaryFolder());
    const first = await store.openIngest('k');
    await expect(store.openIngest('k', { whenBusy: 'give-up' })).rejects.toMatchObject({
      code: 'ERR_LADING_INGEST_BUSY',
    });
    const abort = new AbortController();
    const impatient = store.openIngest('k', { signal: abort.signal });
    abort.abort();
    await expect(impatient).rejects.toMatchObject({ name: 'AbortError' });
    const waiting = store.openIngest('k');
    await first.append(pattern(10));
    await first.pause();
    const second = await waiting;
    expect(second.offset).toBe(10);
    await second.discard();
  });

  test('is exclusive between processes; the lock ends with its holder, killed or not', async () => {
    const root = await temporaryFolder();
    const store = new BlobStore(root);
    const child = start([root, 'k', '900000', 'hold']);
    await lineOf(child, 'holding');
    await expect(store.openIngest('k', { whenBusy: 'give-up' })).rejects.toMatchObject({
      code: 'ERR_LADING_INGEST_BUSY',
    });
    const waiting = store.openIngest('k');
    child.kill('SIGKILL');
    const ingest = await waiting;
    expect(ingest.offset).toBe(900_000);
    await ingest.commit({ digest: digestOf(pattern(900_000)), size: 900_000 });
  });

  test('who waits for a key while it is committed gets a new, empty ingest', async () => {
    const root = await temporaryFolder();
    const children = [1, 2, 3].map(() => start([root, 'k', '3000000']));
    await Promise.all(children.map((child) => lineOf(child, 'committed')));
    const store = new BlobStore(root);
    expect(await store.size(digestOf(pattern(3_000_000)))).toBe(3_000_000);
    expect(await readdir(path.join(root, 'ingest'))).toEqual([]);
  });
});

test.each(['ingest-written:2', 'blob-verified', 'blob-synced', 'blob-renamed', 'blob-published'])(
  'a kill at %s leaves a store that goes on where it was',
  async (point) => {
    const root = await temporaryFolder();
    const size = 5_000_000;
    const digest = digestOf(pattern(size));
    const killed = start([root, 'k', String(size)], { LADING_CRASH_AT: point });
    expect(await once(killed, 'exit')).toEqual([null, 'SIGKILL']);
    const store = new BlobStore(root);
    const published = await store.size(digest);
    if (published !== undefined) await store.read(digest, { maxBytes: size });
    const resumed = start([root, 'k', String(size)]);
    const [line, exit] = await Promise.all([lineOf(resumed, 'offset'), once(resumed, 'exit')]);
    expect(exit).toEqual([0, null]);
    const offset = Number(line.split(' ')[1]);
    if (point.startsWith('ingest')) expect(offset).toBeGreaterThanOrEqual(200_000);
    else expect(offset).toBe(point === 'blob-verified' || point === 'blob-synced' ? size : 0);
    expect(digestOf(await store.read(digest, { maxBytes: size }))).toBe(digest);
    expect(await readdir(path.join(root, 'ingest'))).toEqual([]);
  },
);

function start(args: string[], env: Record<string, string> = {}): ChildProcess {
  const child = spawn(process.execPath, [writer, ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

function lineOf(child: ChildProcess, start: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const lines = createInterface({ input: child.stdout! });
    lines.on('line', (line) => line.startsWith(start) && resolve(line));
    lines.once('close', () => reject(new Error(`the child ended without a line that starts with ${start}`)));
  });
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
