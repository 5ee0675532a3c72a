import { Worker } from 'node:worker_threads';
import { threadStarting } from '../lib/compiling.ts';
import { debugLog } from '../lib/debug.ts';
import { GrowingFile } from '../lib/growing-file.ts';
import { programModule } from '../lib/program-module.ts';
import type { DigestAlgorithm } from '../oci/digest.ts';

export interface HashTask {
  readonly id: number;
  readonly path: string;
  /** Bytes that it will have. */
  readonly size: number;
  readonly algorithm: DigestAlgorithm;
  /** Of a `GrowingFile`. */
  readonly state: SharedArrayBuffer;
}

export type HashReport =
  | { readonly kind: 'started' }
  /** `hex` is undefined when the file could not be read, or was given up. */
  | { readonly kind: 'ended'; readonly id: number; readonly hex: string | undefined };

export interface GrowingHash {
  /** In hex; undefined when there is none. Never rejects. */
  readonly hex: Promise<string | undefined>;
  /** So many bytes are in the file. */
  grow(bytes: number): void;
  /** The hash is of no use any more. */
  abandon(): void;
}

const debug = debugLog('store');

/**
 * Hashes files in a thread of its own while they are written, and reads them back for that: where one thread receives,
 * hashes and writes, the other processors have nothing to do. The thread starts with the first file.
 */
export class HashThread {
  readonly #waiting = new Map<number, (hex: string | undefined) => void>();
  /** Its only word changes with everything that the thread has to look at. */
  readonly #changes = new Int32Array(new SharedArrayBuffer(4));
  #worker: Worker | undefined;
  #lastId = 0;

  /** @param file.path of a file that is there */
  begin({ path, size, algorithm }: Pick<HashTask, 'path' | 'size' | 'algorithm'>): GrowingHash {
    this.#worker ??= this.#start();
    this.#lastId += 1;
    const id = this.#lastId;
    const file = new GrowingFile();
    const hex = new Promise<string | undefined>((resolve) => this.#waiting.set(id, resolve));
    this.#worker.ref();
    this.#worker.postMessage({ id, path, size, algorithm, state: file.state } satisfies HashTask);
    this.#changed();
    return {
      hex,
      grow: (bytes) => {
        file.grow(bytes);
        this.#changed();
      },
      abandon: () => {
        file.abandon();
        this.#changed();
      },
    };
  }

  async close(): Promise<void> {
    const worker = this.#worker;
    // The report of a file that was given up just now would let the process end before the thread has.
    worker?.removeAllListeners('message');
    await worker?.terminate();
  }

  #changed(): void {
    Atomics.add(this.#changes, 0, 1);
    Atomics.notify(this.#changes, 0);
  }

  #start(): Worker {
    const started = threadStarting();
    const worker = new Worker(programModule('store/hash-worker'), {
      name: 'lading-hash',
      workerData: this.#changes.buffer,
    });
    worker.on('message', (report: HashReport) => {
      if (report.kind === 'started') started();
      else this.#settle(report.id, report.hex);
    });
    worker.once('error', (error) => debug('the thread that hashes ended: %s', error));
    worker.once('exit', () => {
      started();
      this.#worker = undefined;
      for (const id of [...this.#waiting.keys()]) this.#settle(id, undefined);
    });
    return worker;
  }

  #settle(id: number, hex: string | undefined): void {
    this.#waiting.get(id)?.(hex);
    this.#waiting.delete(id);
    if (this.#waiting.size === 0) this.#worker?.unref();
  }
}
