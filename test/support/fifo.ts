import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { onTestFinished } from 'vitest';
import { mkfifo } from '../../src/lib/libc.ts';

const delayMs = 8000;

/**
 * Makes a fifo. Who waits for its writer gets one after eight seconds, so that a test fails instead of never ending.
 * @returns whether the writer has come
 */
export function fifoWithLateWriter(path: string): () => boolean {
  mkfifo(path, 0o644);
  const startMs = performance.now();
  const later = `setTimeout(() => fs.openSync(process.argv[1], 'r+'), ${delayMs})`;
  const writer = spawn(process.execPath, ['-e', later, path]);
  const exited = once(writer, 'exit');
  onTestFinished(async () => {
    writer.kill();
    await exited;
  });
  // While this process waits it does not hear of its child.
  return () => performance.now() - startMs >= delayMs;
}
