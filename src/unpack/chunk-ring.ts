import { chunkBytes } from './byte-source.ts';
import type { Compression } from './decompress.ts';

/**
 * Hands decompressed bytes from one thread to another, in order, through shared memory: the two halves of a layer that
 * would keep one thread busy while another has nothing to do.
 */

/** Evens out the two sides; a power of two, because counts wrap around. */
const slots = 8;
/** Words in front: pieces put in, pieces taken out, how it ended; then the length of each piece. */
const [put, taken, ending, lengths] = [0, 1, 2, 3];
const headerBytes = 4 * (lengths + slots);
/** Who waits looks up this often, to see whether it should stop. */
const waitMs = 50;

const endings: readonly Compression[] = ['none', 'gzip', 'zstd'];

export function newRing(): SharedArrayBuffer {
  return new SharedArrayBuffer(headerBytes + slots * chunkBytes);
}

export class ChunkRing {
  readonly #words: Int32Array;
  readonly #slots: readonly Buffer[];
  readonly #checkStop: () => void;

  /** @param checkStop called now and then while this side waits; may throw */
  constructor(memory: SharedArrayBuffer, checkStop: () => void) {
    this.#words = new Int32Array(memory, 0, lengths + slots);
    this.#slots = Array.from({ length: slots }, (_, slot) =>
      Buffer.from(memory, headerBytes + slot * chunkBytes, chunkBytes),
    );
    this.#checkStop = checkStop;
  }

  /** Waits for room; copies. @param bytes at most `chunkBytes` */
  push(bytes: Buffer): void {
    const count = this.#words[put]!;
    for (;;) {
      const out = Atomics.load(this.#words, taken);
      // Counts wrap around as 32-bit numbers do.
      if (((count - out) | 0) < slots) break;
      this.#checkStop();
      Atomics.wait(this.#words, taken, out, waitMs);
    }
    const slot = count & (slots - 1);
    bytes.copy(this.#slots[slot]!);
    this.#words[lengths + slot] = bytes.byteLength;
    Atomics.add(this.#words, put, 1);
    Atomics.notify(this.#words, put);
  }

  /** Nothing more comes. @param found the compression of what was pushed */
  end(found: Compression): void {
    Atomics.store(this.#words, ending, 1 + endings.indexOf(found));
    Atomics.notify(this.#words, put);
  }

  /** Hands everything to `sink`, whose memory is used again after the call. @returns the compression that was found */
  drain(sink: (bytes: Buffer) => void): Compression {
    for (;;) {
      const count = this.#words[taken]!;
      const ended = Atomics.load(this.#words, ending);
      const there = Atomics.load(this.#words, put);
      if (there === count) {
        if (ended > 0) return endings[ended - 1]!;
        this.#checkStop();
        Atomics.wait(this.#words, put, there, waitMs);
        continue;
      }
      const slot = count & (slots - 1);
      sink(this.#slots[slot]!.subarray(0, this.#words[lengths + slot]));
      Atomics.add(this.#words, taken, 1);
      // Waking a thread costs as much as a small file: the other side sleeps until there is room for several pieces.
      if (there - count - 1 <= slots / 2) Atomics.notify(this.#words, taken);
    }
  }
}
