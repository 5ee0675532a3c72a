import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { anySignal } from '../lib/abort.ts';
import { threadStarting } from '../lib/compiling.ts';
import { debugLog } from '../lib/debug.ts';
import { LadingError } from '../lib/errors.ts';
import type { LayerFacts } from '../lib/layer-facts.ts';
import { giveFreedMemoryBack } from '../lib/lean-malloc.ts';
import { programModule } from '../lib/program-module.ts';
import { newRing } from './chunk-ring.ts';
import { fromPlainError } from './errors.ts';
import type { UnpackLimits } from './limits.ts';
import type { MergeJob } from './merge.ts';
import type { UnpackJob } from './unpack-layer.ts';
import { newControl, type Report, requestStop, type Task } from './worker-protocol.ts';

const log = debugLog('unpack');

/** Two workers keep two cores busy; a third on two cores only adds switching. */
const maxDefaultWorkers = 4;
/** What a worker makes is short-lived or stays: with V8's own limit each took 15 MB more, and no less time. */
const maxYoungGenerationSizeMb = 2;

export interface TaskOptions {
  readonly signal?: AbortSignal | undefined;
  /** Called about 20 times a second with the bytes of the blob that were read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
  /** Bytes of the blob: of tasks that wait the largest begins first, and one without a size before all others. */
  readonly size?: number | undefined;
}

interface Queued {
  readonly task: Task;
  readonly options: TaskOptions;
  resolve(result: LayerFacts | undefined): void;
  reject(error: unknown): void;
}

/**
 * Worker threads that unpack layers, one layer each, the largest first: begun last it would be alone at work in the end. A
 * pull of three layers of 132, 74 and 42 MB took 1.35 s so, in the order of arrival 1.54 s. Threads start when there is
 * work and do not keep the process alive when there is none.
 */
export class UnpackPool {
  readonly #size: number;
  readonly #limits: Partial<UnpackLimits>;
  readonly #idle: Worker[] = [];
  readonly #busy = new Map<Worker, Queued>();
  readonly #queue: Queued[] = [];
  #closed = false;
  /** From the start of the first thread until there is no more work. */
  #endTrimming: (() => void) | undefined;

  /** @param options.limits what a layer may cost, where it is not the default */
  constructor(options: { workers?: number; limits?: Partial<UnpackLimits> | undefined } = {}) {
    this.#size = options.workers ?? Math.min(availableParallelism(), maxDefaultWorkers);
    this.#limits = options.limits ?? {};
  }

  /**
   * Unpacks one layer; resolves when all of it is in `job.targetDir` and its diffID was right. Nothing is synced. After
   * a failure the directory and the record are of no use.
   * @throws LayerError for a layer that must not be used; LadingError `ERR_LADING_DISK_FULL`, `ERR_LADING_UNPACK_IO`,
   * `ERR_LADING_UNMAPPED_ID`, `ERR_LADING_UNPACK_WORKER` otherwise; the reason of the signal when it was aborted
   */
  async unpack(given: UnpackJob, options: TaskOptions = {}): Promise<LayerFacts> {
    const job = { ...given, limits: { ...this.#limits, ...given.limits } };
    if (job.inTwoThreads && this.#size > 1) return this.#unpackInTwo(job, options);
    const facts = await this.#enqueue({ kind: 'unpack', job, control: newControl() }, options);
    return facts!;
  }

  /** Starts threads for layers that are about to come, so that they load their modules while the first bytes are asked for. */
  warmUp(layers: number): void {
    while (this.#busy.size + this.#idle.length < layers) {
      const worker = this.#start();
      if (!worker) return;
      this.#idle.push(worker);
      worker.unref();
    }
  }

  /** The first half that fails stops the other one, and its error is the reason for both. */
  async #unpackInTwo(job: UnpackJob, options: TaskOptions): Promise<LayerFacts> {
    const ring = newRing();
    const failed = new AbortController();
    const signal = anySignal(options.signal, failed.signal);
    const run = (task: Task, half: TaskOptions) =>
      this.#enqueue(task, { size: options.size, ...half, signal }).catch((error: unknown) => {
        failed.abort(error);
        throw error;
      });
    const decompressing = run({ kind: 'decompress', job, ring, control: newControl() }, options);
    const applying = run({ kind: 'unpack', job, ring, control: newControl() }, {});
    const [, facts] = await Promise.allSettled([decompressing, applying]);
    if (signal.aborted) throw signal.reason;
    return (facts as PromiseFulfilledResult<LayerFacts>).value;
  }

  /**
   * Makes the root file system of a chain by copying its unpacked layers into one directory, with the same result as a
   * mount of them.
   * @throws LadingError `ERR_LADING_DISK_FULL`, `ERR_LADING_UNPACK_IO`; the reason of the signal when it was aborted
   */
  async merge(job: MergeJob, options: TaskOptions = {}): Promise<void> {
    await this.#enqueue({ kind: 'merge', job, control: newControl() }, options);
  }

  /** Stops what is running and ends the threads. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#endTrimming?.();
    for (const queued of this.#queue.splice(0)) queued.reject(closedError());
    for (const { task } of this.#busy.values()) requestStop(task.control);
    const running = [...this.#busy.keys()].map((worker) => new Promise((resolve) => worker.once('exit', resolve)));
    await Promise.all([...this.#idle.splice(0).map((worker) => worker.terminate()), ...running]);
  }

  #enqueue(task: Task, options: TaskOptions): Promise<LayerFacts | undefined> {
    const { signal } = options;
    if (this.#closed) return Promise.reject(closedError());
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const stop = () => this.#stop(queued);
      const settle = () => signal?.removeEventListener('abort', stop);
      const queued: Queued = {
        task,
        options,
        resolve: (result) => {
          settle();
          resolve(result);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      };
      signal?.addEventListener('abort', stop, { once: true });
      const place = this.#queue.findIndex((other) => sizeOf(other) < sizeOf(queued));
      this.#queue.splice(place === -1 ? this.#queue.length : place, 0, queued);
      // Layers of a pull come one after the other in the same turn of the event loop.
      setImmediate(() => this.#dispatch());
    });
  }

  #stop(queued: Queued): void {
    requestStop(queued.task.control);
    const index = this.#queue.indexOf(queued);
    if (index === -1) return;
    this.#queue.splice(index, 1);
    queued.reject(queued.options.signal?.reason);
  }

  #dispatch(): void {
    while (this.#queue.length > 0) {
      const worker = this.#idle.pop() ?? this.#start();
      if (worker === undefined) return;
      const queued = this.#queue.shift()!;
      this.#busy.set(worker, queued);
      this.#endTrimming ??= giveFreedMemoryBack();
      worker.ref();
      worker.postMessage(queued.task);
    }
  }

  #start(): Worker | undefined {
    if (this.#busy.size + this.#idle.length >= this.#size) return undefined;
    this.#endTrimming ??= giveFreedMemoryBack();
    const started = threadStarting();
    const worker = new Worker(programModule('unpack/worker'), {
      name: 'lading-unpack',
      resourceLimits: { maxYoungGenerationSizeMb },
    });
    worker.on('message', (report: Report) => {
      if (report.kind === 'started') started();
      else this.#onReport(worker, report);
    });
    let crash: unknown;
    worker.on('error', (error) => {
      crash = error;
    });
    worker.on('exit', () => {
      started();
      this.#onExit(worker, crash);
    });
    return worker;
  }

  #onReport(worker: Worker, report: Exclude<Report, { kind: 'started' }>): void {
    const queued = this.#busy.get(worker);
    if (queued === undefined) return;
    if (report.kind === 'progress') {
      queued.options.onProgress?.(report.bytes);
      return;
    }
    this.#ended(worker);
    if (this.#closed) void worker.terminate();
    else {
      this.#idle.push(worker);
      worker.unref();
    }
    if (report.kind === 'done') queued.resolve(report.result);
    else if (report.kind === 'failed') queued.reject(fromPlainError(report.error));
    else queued.reject(queued.options.signal?.aborted ? queued.options.signal.reason : closedError());
    if (!this.#closed) this.#dispatch();
  }

  #ended(worker: Worker): void {
    this.#busy.delete(worker);
    if (this.#busy.size > 0) return;
    this.#endTrimming?.();
    this.#endTrimming = undefined;
  }

  /** A thread that ends by itself has crashed; its task fails, the others go on in new threads. */
  #onExit(worker: Worker, crash: unknown): void {
    const index = this.#idle.indexOf(worker);
    if (index !== -1) this.#idle.splice(index, 1);
    const queued = this.#busy.get(worker);
    this.#ended(worker);
    if (queued) {
      log('a worker ended during %s: %s', queued.task.kind, crash);
      const why = crash instanceof Error ? `: ${crash.message}` : '';
      queued.reject(
        new LadingError('ERR_LADING_UNPACK_WORKER', `the thread that unpacked a layer ended early${why}`, {
          cause: crash,
          hint: 'Try again; if it happens again with the same image, its layers may need more memory than there is.',
        }),
      );
    }
    if (!this.#closed) this.#dispatch();
  }
}

function sizeOf({ options }: Queued): number {
  return options.size ?? Number.POSITIVE_INFINITY;
}

function closedError(): LadingError {
  return new LadingError('ERR_LADING_UNPACK_CLOSED', 'unpacking was stopped: the pool is closed');
}
