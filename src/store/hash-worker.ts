/** Body of a `HashThread`: hashes files while they grow. */
import { createHash } from 'node:crypto';
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort } from 'node:worker_threads';
import { nextGrowth } from '../lib/growing-file.ts';
import type { HashReport, HashTask } from './hash-thread.ts';

/** Of one read. */
const readBytes = 256 * 1024;
const buffer = Buffer.allocUnsafeSlow(readBytes);

parentPort!.on('message', async ({ id, ...task }: HashTask) => {
  const hex = await hash(task).catch(() => undefined);
  parentPort!.postMessage({ kind: 'ended', id, hex } satisfies HashReport);
});
parentPort!.postMessage({ kind: 'started' } satisfies HashReport);

async function hash({ path, size, algorithm, state }: Omit<HashTask, 'id'>): Promise<string | undefined> {
  const fd = openSync(path, 'r');
  try {
    const digest = createHash(algorithm);
    for (let done = 0; done < size; ) {
      const there = await nextGrowth(state, done);
      if (there === undefined) return undefined;
      const length = readSync(fd, buffer, 0, Math.min(readBytes, there - done), done);
      if (length === 0) return undefined;
      digest.update(buffer.subarray(0, length));
      done += length;
    }
    return digest.digest('hex');
  } finally {
    closeSync(fd);
  }
}
