import { parentPort } from 'node:worker_threads';
import { toPlainError } from './errors.ts';
import { workingIsal } from './isal-gunzip.ts';
import { mergeLayers } from './merge.ts';
import { decompressToRing, unpackLayer } from './unpack-layer.ts';
import { type Report, stopRequested, type Task } from './worker-protocol.ts';

/** Body of a worker thread of the pool: one task at a time, synchronous nearly throughout. */

/** Often enough for a progress bar, seldom enough to cost nothing. */
const progressIntervalMs = 50;

class Stopped extends Error {}

parentPort!.on('message', (task: Task) => {
  run(task).then(
    (report) => parentPort!.postMessage(report),
    (error: unknown) => {
      const report: Report =
        error instanceof Stopped ? { kind: 'stopped' } : { kind: 'failed', error: toPlainError(error) };
      parentPort!.postMessage(report);
    },
  );
});

parentPort!.postMessage({ kind: 'started' } satisfies Report);

async function run(task: Task): Promise<Report> {
  // Before anything is made: a thread that is ended while koffi loads a library takes the whole process along.
  workingIsal();
  const control = new Int32Array(task.control);
  let reportedAtMs = performance.now();
  const checkStop = () => {
    if (stopRequested(control)) throw new Stopped();
  };
  const onProgress = (bytes: number) => {
    checkStop();
    if (bytes === 0) return;
    const nowMs = performance.now();
    if (nowMs - reportedAtMs < progressIntervalMs) return;
    reportedAtMs = nowMs;
    const report: Report = { kind: 'progress', bytes };
    parentPort!.postMessage(report);
  };
  if (task.kind === 'unpack') return { kind: 'done', result: await unpackLayer(task.job, onProgress, task.ring) };
  if (task.kind === 'decompress') await decompressToRing(task.job, onProgress, task.ring);
  else mergeLayers(task.job, onProgress);
  return { kind: 'done', result: undefined };
}
