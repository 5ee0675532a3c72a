import { closeSync, openSync, readSync } from 'node:fs';

/** Bytes of one read, and of one piece of decompressed data: 64 KiB to 1 MiB are equally fast, 16 KiB costs twice. */
export const chunkBytes = 256 * 1024;

/** Bytes in chunks of any size; the memory of a chunk is used again for the next one. */
export interface ByteSource {
  /** The next bytes, at least one; undefined at the end. */
  read(): Buffer | undefined;
}

/** Reads a file from its start. */
export class FileSource implements ByteSource {
  readonly #fd: number;
  readonly #buffer = Buffer.allocUnsafeSlow(chunkBytes);
  #consumed = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'r');
  }

  /** Bytes read so far. */
  get consumed(): number {
    return this.#consumed;
  }

  read(): Buffer | undefined {
    const length = readSync(this.#fd, this.#buffer, 0, chunkBytes, null);
    this.#consumed += length;
    return length === 0 ? undefined : this.#buffer.subarray(0, length);
  }

  close(): void {
    closeSync(this.#fd);
  }
}
