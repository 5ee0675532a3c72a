import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { BytePipe, BytePipeReader } from '../../src/lib/byte-pipe.ts';

const never = new AbortController().signal;

function readAll(reader: BytePipeReader, bytes: number): Buffer {
  const all = Buffer.alloc(bytes);
  for (let at = 0; at < bytes; ) at += reader.read(all.subarray(at, at + 100_000)) ?? bytes;
  return all;
}

test('bytes come out as they went in, also around the end of the memory', async () => {
  const pipe = new BytePipe();
  const reader = new BytePipeReader(pipe.memory, () => {});
  for (let round = 0; round < 5; round += 1) {
    const bytes = randomBytes(700_001);
    await pipe.write(bytes, never);
    expect(readAll(reader, bytes.byteLength).equals(bytes)).toBe(true);
  }
  pipe.end();
  expect(reader.read(Buffer.alloc(10))).toBe(0);
});

test('what was put in before the end is read first; after it was abandoned nothing is', async () => {
  const pipe = new BytePipe();
  await pipe.write(Buffer.from('last'), never);
  pipe.end();
  const reader = new BytePipeReader(pipe.memory, () => {});
  expect(readAll(reader, 4).toString()).toBe('last');
  pipe.abandon();
  expect(reader.read(Buffer.alloc(10))).toBeUndefined();
});

test('a writer without a reader waits, until it is aborted', async () => {
  const pipe = new BytePipe();
  const abort = new AbortController();
  const writing = pipe.write(randomBytes(3 * 1024 * 1024), abort.signal);
  abort.abort(new Error('enough'));
  await expect(writing).rejects.toThrow('enough');
});

test('a writer that waits keeps its process alive', () => {
  const script = `
    const { BytePipe } = await import(${JSON.stringify(new URL('../../src/lib/byte-pipe.ts', import.meta.url).href)});
    const pipe = new BytePipe();
    const giveUp = AbortSignal.timeout(200);
    pipe.write(Buffer.alloc(3 * 1024 * 1024), giveUp).catch(() => console.log('given up')).finally(() => pipe.abandon());
  `;
  const { stdout, status } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
    timeout: 10_000,
  });
  expect({ stdout, status }).toEqual({ stdout: 'given up\n', status: 0 });
});

test('a reader without a writer looks up now and then, to see whether it should stop', () => {
  const reader = new BytePipeReader(new BytePipe().memory, () => {
    throw new Error('stopped');
  });
  expect(() => reader.read(Buffer.alloc(1))).toThrow('stopped');
});
