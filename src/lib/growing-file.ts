/**
 * A file that one thread writes and another one reads at the same time, from its start. How far the reader may go is
 * in shared memory, because both may be in the middle of long synchronous work.
 */

/** Of the 32-bit words: one that changes with every change, for who waits; and whether the file was given up. */
const [changes, abandonedFlag] = [0, 1];
/** Of the 64-bit words: the bytes that are there. The first one holds the two above. */
const bytesThere = 1;

/** The side of the writer. */
export class GrowingFile {
  /** For the reader. */
  readonly state = new SharedArrayBuffer(16);
  readonly #words = new Int32Array(this.state);
  readonly #longs = new BigInt64Array(this.state);

  get abandoned(): boolean {
    return this.#words[abandonedFlag] === 1;
  }

  /** The kernel has so many bytes of it. */
  grow(bytes: number): void {
    Atomics.store(this.#longs, bytesThere, BigInt(bytes));
    this.#changed();
  }

  /** What is there is of no use: the reader stops where it is. */
  abandon(): void {
    Atomics.store(this.#words, abandonedFlag, 1);
    this.#changed();
  }

  #changed(): void {
    Atomics.add(this.#words, changes, 1);
    Atomics.notify(this.#words, changes);
  }
}

/** A reader that waits looks up this often, to see whether it should stop. */
const waitMs = 50;

/**
 * Blocks this thread until there are more than `consumed` bytes.
 * @param checkStop called now and then while it waits; may throw
 * @returns the bytes there are; undefined if the file was abandoned
 */
export function waitForGrowth(state: SharedArrayBuffer, consumed: number, checkStop: () => void): number | undefined {
  const words = new Int32Array(state);
  const longs = new BigInt64Array(state);
  for (;;) {
    const change = Atomics.load(words, changes);
    if (Atomics.load(words, abandonedFlag) === 1) return undefined;
    const there = Number(Atomics.load(longs, bytesThere));
    if (there > consumed) return there;
    checkStop();
    Atomics.wait(words, changes, change, waitMs);
  }
}
