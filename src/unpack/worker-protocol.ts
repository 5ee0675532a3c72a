import type { LayerFacts } from '../lib/layer-facts.ts';
import type { PlainError } from './errors.ts';
import type { MergeJob } from './merge.ts';
import type { UnpackJob } from './unpack-layer.ts';

/** What the pool and its worker threads tell each other. */

export type Task =
  | {
      readonly kind: 'unpack';
      readonly job: UnpackJob;
      readonly control: SharedArrayBuffer;
      /** Where the thread of the `decompress` task puts the bytes. */
      readonly ring?: SharedArrayBuffer;
    }
  | {
      readonly kind: 'decompress';
      readonly job: UnpackJob;
      readonly control: SharedArrayBuffer;
      readonly ring: SharedArrayBuffer;
    }
  | { readonly kind: 'merge'; readonly job: MergeJob; readonly control: SharedArrayBuffer };

export type Report =
  /** Its modules are loaded. */
  | { readonly kind: 'started' }
  | { readonly kind: 'progress'; readonly bytes: number }
  | { readonly kind: 'done'; readonly result: LayerFacts | undefined }
  | { readonly kind: 'stopped' }
  | { readonly kind: 'failed'; readonly error: PlainError };

/** One 32-bit word in shared memory: a worker that never returns to its event loop cannot be sent a message. */
export function newControl(): SharedArrayBuffer {
  return new SharedArrayBuffer(4);
}

export function requestStop(control: SharedArrayBuffer): void {
  Atomics.store(new Int32Array(control), 0, 1);
}

export function stopRequested(control: Int32Array): boolean {
  return Atomics.load(control, 0) !== 0;
}
