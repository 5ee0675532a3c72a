import { appendFileSync, closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { GrowingFile } from '../../src/lib/growing-file.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { type UnpackJob, UnpackPool } from '../../src/unpack/index.ts';
import { tar } from '../support/tar-builder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;
const turns = () => new Promise((resolve) => setTimeout(resolve, 5));

describe.skipIf(process.platform !== 'linux' || !isRoot)('a blob that grows (needs root on Linux)', () => {
  const archive = tar(
    ...Array.from({ length: 300 }, (_, index) => ({ name: `f${index}`, data: Buffer.alloc(9000, `${index} `) })),
  );
  const blob = gzipSync(archive, { level: 1 });
  let folder: string;
  let pool: UnpackPool;
  let jobs = 0;

  beforeEach(async () => {
    folder = await temporaryFolder();
    pool = new UnpackPool({ workers: 2 });
  });
  afterEach(() => pool.close());

  function growing() {
    const dataFile = join(folder, 'data');
    writeFileSync(dataFile, '');
    const fd = openSync(dataFile, 'r');
    onTestFinished(() => closeSync(fd));
    const file = new GrowingFile();
    let there = 0;
    const append = (bytes: Buffer) => {
      appendFileSync(dataFile, bytes);
      there += bytes.byteLength;
      file.grow(there);
    };
    return { blob: { fd, size: blob.byteLength, state: file.state }, append, abandon: () => file.abandon() };
  }

  function job(changes: Partial<UnpackJob>): UnpackJob {
    jobs += 1;
    const targetDir = join(folder, `layer-${jobs}`);
    mkdirSync(targetDir);
    return {
      blobPath: join(folder, 'not there yet'),
      mediaType: 'application/vnd.oci.image.layer.v1.tar+gzip',
      diffId: digestOf(archive),
      targetDir,
      entriesFile: `${targetDir}.entries`,
      overlay: { mode: 'overlay', userxattr: false },
      ...changes,
    };
  }

  test.each([false, true])('is unpacked while it comes (in two threads: %s)', async (inTwoThreads) => {
    const source = growing();
    const task = job({ growing: source.blob, inTwoThreads });
    const unpacking = pool.unpack(task);
    for (let start = 0; start < blob.byteLength; start += 999) {
      source.append(blob.subarray(start, start + 999));
      await turns();
    }
    expect(await unpacking).toMatchObject({ entries: 300, contentBytes: 300 * 9000, diffId: digestOf(archive) });
    expect(readFileSync(join(task.targetDir, 'f299'))).toEqual(Buffer.alloc(9000, '299 '));
  });

  test.each([false, true])('that is given up ends the work (in two threads: %s)', async (inTwoThreads) => {
    const source = growing();
    const unpacking = pool.unpack(job({ growing: source.blob, inTwoThreads }));
    source.append(blob.subarray(0, 500));
    await turns();
    source.abandon();
    await expect(unpacking).rejects.toThrow('will not be completed');
  });

  test.each([false, true])('does not keep the pool from stopping (in two threads: %s)', async (inTwoThreads) => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const unpacking = pool.unpack(job({ growing: growing().blob, inTwoThreads }), { signal: abort.signal });
    await turns();
    abort.abort(reason);
    await expect(unpacking).rejects.toBe(reason);
  });

  test('in two threads: an error of either half is the error', async () => {
    const damaged = Buffer.from(blob);
    damaged[damaged.byteLength - 6]! ^= 1;
    const first = growing();
    first.append(damaged);
    const unpacking = pool.unpack(job({ growing: first.blob, inTwoThreads: true }));
    await expect(unpacking).rejects.toMatchObject({ class: 'bad-compression' });

    const wrong = growing();
    wrong.append(blob);
    const other = { growing: wrong.blob, inTwoThreads: true, diffId: digestOf('something else') };
    await expect(pool.unpack(job(other))).rejects.toMatchObject({ class: 'digest-mismatch' });
  });
});
