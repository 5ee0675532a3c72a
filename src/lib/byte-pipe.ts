/**
 * Bytes on their way from a thread that must not block to one that may, through shared memory of a fixed size: the
 * writer waits while the reader is behind.
 */

/** A power of two, because counts wrap around. */
const capacity = 1024 * 1024;
/** Of the 32-bit words in front: bytes put in, bytes taken out, how it ended. */
const [put, taken, ending] = [0, 1, 2];
const headerBytes = 16;
const [open, ended, abandoned] = [0, 1, 2];
/** Who waits looks up this often, to see whether it should stop. */
const waitMs = 50;

/** The side of the writer. */
export class BytePipe {
  /** For the reader. */
  readonly memory = new SharedArrayBuffer(headerBytes + capacity);
  readonly #words = new Int32Array(this.memory, 0, headerBytes / 4);
  readonly #bytes = new Uint8Array(this.memory, headerBytes);

  /** Waits for room; copies. @throws the signal's reason when aborted while waiting */
  async write(chunk: Uint8Array, signal: AbortSignal): Promise<void> {
    for (let done = 0; done < chunk.byteLength; ) {
      const out = Atomics.load(this.#words, taken);
      const start = this.#words[put]! & (capacity - 1);
      const room = capacity - ((this.#words[put]! - out) | 0);
      const length = Math.min(room, capacity - start, chunk.byteLength - done);
      if (length > 0) {
        this.#bytes.set(chunk.subarray(done, done + length), start);
        done += length;
        Atomics.add(this.#words, put, length);
        Atomics.notify(this.#words, put);
        continue;
      }
      signal.throwIfAborted();
      // Neither this wait nor a socket that nobody reads keeps the process alive.
      const alive = setInterval(() => {}, waitMs);
      await Atomics.waitAsync(this.#words, taken, out, waitMs).value;
      clearInterval(alive);
    }
  }

  /** Nothing more comes. */
  end(): void {
    this.#close(ended);
  }

  /** Nothing more comes, and what came is of no use. */
  abandon(): void {
    this.#close(abandoned);
  }

  #close(how: number): void {
    Atomics.store(this.#words, ending, how);
    Atomics.notify(this.#words, put);
  }
}

/** The side of the reader. */
export class BytePipeReader {
  readonly #words: Int32Array;
  readonly #bytes: Uint8Array;
  readonly #checkStop: () => void;

  /** @param checkStop called now and then while there is nothing to read; may throw */
  constructor(memory: SharedArrayBuffer, checkStop: () => void) {
    this.#words = new Int32Array(memory, 0, headerBytes / 4);
    this.#bytes = new Uint8Array(memory, headerBytes);
    this.#checkStop = checkStop;
  }

  /** Fills `target` as far as there are bytes; blocks while there are none. @returns how many; 0 at the end; undefined if it was abandoned */
  read(target: Uint8Array): number | undefined {
    for (;;) {
      // First how it ended: what was put in before that counts.
      const how = Atomics.load(this.#words, ending);
      if (how === abandoned) return undefined;
      const there = Atomics.load(this.#words, put);
      const out = this.#words[taken]!;
      const start = out & (capacity - 1);
      const length = Math.min((there - out) | 0, capacity - start, target.byteLength);
      if (length > 0) {
        target.set(this.#bytes.subarray(start, start + length));
        Atomics.add(this.#words, taken, length);
        Atomics.notify(this.#words, taken);
        return length;
      }
      if (how !== open) return 0;
      this.#checkStop();
      Atomics.wait(this.#words, put, there, waitMs);
    }
  }
}
