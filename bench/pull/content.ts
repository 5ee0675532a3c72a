/** File content that is the same in every run and compresses as programs and libraries do: to about 40 percent. */

/** Deflate looks back 32 KiB: a pool of this size repeats nothing within its reach. */
const poolBytes = 8 * 1024 * 1024;

export class ContentPool {
  readonly #pool: Buffer;

  constructor(seed: number) {
    this.#pool = fill(seed);
  }

  /** Content of the file with this number. */
  slice(file: number, bytes: number): Buffer {
    const parts: Buffer[] = [];
    let start = (file * 2_654_435_761) % poolBytes;
    for (let left = bytes; left > 0; ) {
      const part = this.#pool.subarray(start, start + left);
      parts.push(part);
      left -= part.byteLength;
      start = 0;
    }
    return Buffer.concat(parts);
  }
}

/** Words of a small vocabulary between runs of noise. */
function fill(seed: number): Buffer {
  const pool = Buffer.allocUnsafe(poolBytes);
  const random = randomNumbers(seed);
  const words = Array.from({ length: 512 }, () => Array.from({ length: 4 + (random() % 12) }, () => random() & 0xff));
  for (let at = 0; at < poolBytes; ) {
    const bytes = random() % 4 === 0 ? Array.from({ length: 8 }, () => random() & 0xff) : words[random() % 512]!;
    for (const byte of bytes) if (at < poolBytes) pool[at++] = byte;
  }
  return pool;
}

/** Xorshift: 32 bits at a time. */
export function randomNumbers(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
