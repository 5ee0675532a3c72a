import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { closeSync, mkdirSync, openSync, readdirSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { mkfifo } from '../../src/lib/libc.ts';
import { type Digest, digestOf } from '../../src/oci/digest.ts';
import { LayerError, type UnpackJob, UnpackPool } from '../../src/unpack/index.ts';
import { type TarFields, tar } from '../support/tar-builder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;

describe.skipIf(process.platform !== 'linux' || !isRoot)('unpack pool (needs root on Linux)', () => {
  let folder: string;
  let pool: UnpackPool;
  let jobs = 0;

  beforeEach(async () => {
    folder = await temporaryFolder();
    pool = new UnpackPool({ workers: 1 });
  });
  afterEach(() => pool.close());

  function job(archive: Buffer, changes: Partial<UnpackJob> = {}): UnpackJob {
    jobs += 1;
    const [blobPath, targetDir] = [join(folder, `blob-${jobs}`), join(folder, `layer-${jobs}`)];
    mkdirSync(targetDir);
    if (changes.blobPath === undefined) writeFileSync(blobPath, archive);
    return {
      blobPath,
      mediaType: 'application/vnd.oci.image.layer.v1.tar',
      diffId: digestOf(archive),
      targetDir,
      entriesFile: `${targetDir}.entries`,
      overlay: { mode: 'overlay', userxattr: false },
      ...changes,
    };
  }

  /** A layer that stays unfinished until `send` has given all its bytes. */
  function slowJob(archive: Buffer) {
    const fifo = join(folder, `fifo-${jobs}`);
    mkfifo(fifo, 0o600);
    // Open for both directions: neither side waits for the other.
    const fd = openSync(fifo, 'r+');
    let isOpen = true;
    const end = () => {
      if (isOpen) closeSync(fd);
      isOpen = false;
    };
    onTestFinished(end);
    return { slow: job(archive, { blobPath: fifo }), send: (bytes: Buffer) => writeSync(fd, bytes), end };
  }

  const some: TarFields[] = Array.from({ length: 20 }, (_, index) => ({ name: `f${index}`, data: `${index}` }));

  test('unpacks a layer and says what it did', async () => {
    const facts = await pool.unpack(job(tar(...some)));
    expect(facts).toMatchObject({ version: 1, entries: 20, contentBytes: 30, marks: 'trusted', warnings: [] });
  });

  test.each(['000', '077', '277', '777'])('gives files the modes of the archive under the umask %s', async (umask) => {
    const modes = [0, 0o222, 0o600, 0o644, 0o777, 0o4755];
    const unpacking = job(tar(...modes.map((mode) => ({ name: mode.toString(8), mode }))));
    const before = process.umask(Number.parseInt(umask, 8));
    onTestFinished(() => void process.umask(before));
    await pool.unpack(unpacking);
    const found = modes.map((mode) => statSync(join(unpacking.targetDir, mode.toString(8))).mode & 0o7777);
    expect(found).toEqual(modes);
  });

  test('begins with the largest of the layers that come together', async () => {
    const ended: number[] = [];
    const sizes = [20, 300, 1, 4000];
    await Promise.all(sizes.map((size) => pool.unpack(job(tar(...some)), { size }).then(() => ended.push(size))));
    expect(ended).toEqual([4000, 300, 20, 1]);
  });

  test('errors keep their class on the way from the thread, and the thread goes on', async () => {
    const failed = pool.unpack(job(tar({ name: '../x' })));
    await expect(failed).rejects.toBeInstanceOf(LayerError);
    await expect(failed).rejects.toMatchObject({
      code: 'ERR_LADING_LAYER_UNSAFE_PATH',
      data: { class: 'unsafe-path' },
    });
    await expect(pool.unpack(job(tar(), { diffId: digestOf('other') }))).rejects.toMatchObject({
      class: 'digest-mismatch',
    });
    await expect(pool.unpack(job(tar(), { blobPath: join(folder, 'none') }))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(pool.unpack(job(tar(...some)))).resolves.toMatchObject({ entries: 20 });
  });

  test('an aborted layer stops in the middle, with the reason of the signal', async () => {
    const archive = tar(...some);
    const { slow, send, end } = slowJob(archive);
    const controller = new AbortController();
    const running = pool.unpack(slow, { signal: controller.signal });
    const reason = new Error('the pull was cancelled');
    running.catch(() => undefined);
    send(archive.subarray(0, 4096));
    await until(() => readdirSync(slow.targetDir).length > 0);
    controller.abort(reason);
    send(archive.subarray(4096, 8192));
    await expect(running).rejects.toBe(reason);
    end();
    await expect(pool.unpack(job(archive))).resolves.toMatchObject({ entries: 20 });
  });

  test('a layer that waits for a thread can be aborted too, and one that was never started is not', async () => {
    const archive = tar(...some);
    const { slow, send } = slowJob(archive);
    const first = pool.unpack(slow);
    const controller = new AbortController();
    const waiting = pool.unpack(job(archive), { signal: controller.signal });
    controller.abort(new Error('not any more'));
    await expect(waiting).rejects.toThrow('not any more');
    await expect(pool.unpack(job(archive), { signal: controller.signal })).rejects.toThrow('not any more');
    first.catch(() => undefined);
    send(Buffer.alloc(512, 'x'));
    await expect(first).rejects.toMatchObject({ class: 'bad-tar' });
  });

  test('a thread that ends early fails its layer only', async () => {
    const started = new Promise<Worker>((resolve) => process.once('worker', resolve));
    const archive = tar(...some);
    const { slow, send, end } = slowJob(archive);
    const failing = pool.unpack(slow);
    const next = pool.unpack(job(archive));
    failing.catch(() => undefined);
    const worker = await started;
    send(archive.subarray(0, 4096));
    await until(() => readdirSync(slow.targetDir).length > 0);
    // Until it waits for more: in the middle of a declaration of koffi's its end would be that of the process.
    await sleep(300);
    const ended = worker.terminate();
    send(archive.subarray(4096, 8192));
    end();
    await ended;
    await expect(failing).rejects.toMatchObject({ code: 'ERR_LADING_UNPACK_WORKER' });
    await expect(next).resolves.toMatchObject({ entries: 20 });
  });

  test('tells how many threads load their modules, until all of them work or are gone', async () => {
    const counts: number[] = [];
    const take = (message: unknown) => counts.push((message as { change: number }).change);
    subscribe('lading:compiling', take);
    onTestFinished(() => void unsubscribe('lading:compiling', take));
    const two = new UnpackPool({ workers: 2 });
    two.warmUp(2);
    expect(counts).toEqual([1, 1]);
    await two.unpack(job(tar(...some)));
    await two.close();
    await expect.poll(() => counts).toEqual([1, 1, -1, -1]);
  });

  test('closing stops what runs and what waits, and nothing starts afterwards', async () => {
    const archive = tar(...some);
    const { slow, send } = slowJob(archive);
    const running = pool.unpack(slow);
    const waiting = pool.unpack(job(archive));
    const results = Promise.allSettled([running, waiting]);
    send(archive.subarray(0, 4096));
    await until(() => readdirSync(slow.targetDir).length > 0);
    const closed = pool.close();
    send(archive.subarray(4096, 8192));
    await closed;
    for (const result of await results) {
      expect(result).toMatchObject({ status: 'rejected', reason: { code: 'ERR_LADING_UNPACK_CLOSED' } });
    }
    await expect(pool.unpack(job(archive))).rejects.toMatchObject({ code: 'ERR_LADING_UNPACK_CLOSED' });
  });

  test('progress counts bytes of the blob', async () => {
    const archive = tar({ name: 'large', data: Buffer.alloc(600_000) });
    const { slow, send, end } = slowJob(archive);
    const seen: number[] = [];
    const running = pool.unpack(slow, { onProgress: (bytes) => seen.push(bytes) });
    // A pipe holds 64 KiB: each write waits until the thread has read the one before.
    for (let start = 0; start < archive.byteLength; start += 60_000) {
      send(archive.subarray(start, start + 60_000));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    end();
    await running;
    expect(seen.length).toBeGreaterThan(0);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(Math.max(...seen)).toBeLessThanOrEqual(archive.byteLength);
  });

  test('media types are judged before the blob is opened', async () => {
    const missing = job(tar(), { mediaType: 'text/plain', blobPath: join(folder, 'none') });
    await expect(pool.unpack(missing)).rejects.toMatchObject({ class: 'unsupported-media-type' });
  });

  test('a digest of another algorithm is verified with that one', async () => {
    const archive = tar(...some);
    const diffId: Digest = digestOf(archive, 'sha512');
    await expect(pool.unpack(job(archive, { diffId }))).resolves.toMatchObject({ diffId });
  });
});

async function until(isSo: () => boolean): Promise<void> {
  for (let tries = 0; tries < 2000; tries++) {
    if (isSo()) return;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error('it did not become so');
}
