import { closeSync, openSync, readSync } from 'node:fs';
import { BytePipeReader } from '../lib/byte-pipe.ts';
import { waitForGrowth } from '../lib/growing-file.ts';
import { readError } from './errors.ts';

/** Bytes of one read, and of one piece of decompressed data: 64 KiB to 1 MiB are equally fast, 16 KiB costs twice. */
export const chunkBytes = 256 * 1024;

/** Of layers that this thread has done: what is left to the garbage collector stays for a dozen layers. */
const spareChunks: Buffer[] = [];

/** Memory for one chunk; give it back with `giveChunkBack`. */
export function takeChunk(): Buffer {
  return spareChunks.pop() ?? Buffer.allocUnsafeSlow(chunkBytes);
}

/** Nobody uses the chunk any more. */
export function giveChunkBack(chunk: Buffer): void {
  spareChunks.push(chunk);
}

/** Bytes in chunks of any size; the memory of a chunk is used again for the next one. */
export interface ByteSource {
  /** The next bytes, at least one; undefined at the end. */
  read(): Buffer | undefined;
}

/** A blob that is still being written, by a download for example. */
export interface GrowingBlob {
  /** Open for reading, at its start; the reader leaves it open. */
  readonly fd: number;
  /** Bytes that it will have. */
  readonly size: number;
  /** Of its `GrowingFile`. */
  readonly state: SharedArrayBuffer;
}

function readBlob(fd: number, buffer: Buffer, length: number, position: number | null): number {
  try {
    return readSync(fd, buffer, 0, length, position);
  } catch (error) {
    throw readError(error as NodeJS.ErrnoException);
  }
}

/** Reads a file from its start. */
export class FileSource implements ByteSource {
  readonly #fd: number;
  readonly #buffer = takeChunk();
  #consumed = 0;

  constructor(path: string) {
    this.#fd = openSync(path, 'r');
  }

  /** Bytes read so far. */
  get consumed(): number {
    return this.#consumed;
  }

  read(): Buffer | undefined {
    const length = readBlob(this.#fd, this.#buffer, chunkBytes, null);
    this.#consumed += length;
    return length === 0 ? undefined : this.#buffer.subarray(0, length);
  }

  close(): void {
    closeSync(this.#fd);
    giveChunkBack(this.#buffer);
  }
}

/** The writer of a growing blob gave it up. */
export class BlobAbandoned extends Error {}

/** Reads a blob while it grows; waits where it has caught up. */
export class GrowingSource implements ByteSource {
  readonly #blob: GrowingBlob;
  readonly #checkStop: () => void;
  readonly #buffer = takeChunk();
  #consumed = 0;

  /** @param checkStop called now and then while there is nothing to read; may throw */
  constructor(blob: GrowingBlob, checkStop: () => void) {
    this.#blob = blob;
    this.#checkStop = checkStop;
  }

  get consumed(): number {
    return this.#consumed;
  }

  /** @throws BlobAbandoned */
  read(): Buffer | undefined {
    const { fd, size, state } = this.#blob;
    if (this.#consumed === size) return undefined;
    const there = waitForGrowth(state, this.#consumed, this.#checkStop);
    if (there === undefined) throw new BlobAbandoned('the blob will not be completed');
    const length = readBlob(fd, this.#buffer, Math.min(chunkBytes, there - this.#consumed), this.#consumed);
    if (length === 0) throw new BlobAbandoned('the blob became shorter');
    this.#consumed += length;
    return this.#buffer.subarray(0, length);
  }

  close(): void {
    giveChunkBack(this.#buffer);
  }
}

/** Reads a blob that is on no disk, as it comes through a `BytePipe`. */
export class PipedSource implements ByteSource {
  readonly #pipe: BytePipeReader;
  readonly #buffer = takeChunk();
  #consumed = 0;

  /** @param checkStop called now and then while there is nothing to read; may throw */
  constructor(memory: SharedArrayBuffer, checkStop: () => void) {
    this.#pipe = new BytePipeReader(memory, checkStop);
  }

  get consumed(): number {
    return this.#consumed;
  }

  /** @throws BlobAbandoned */
  read(): Buffer | undefined {
    const length = this.#pipe.read(this.#buffer);
    if (length === undefined) throw new BlobAbandoned('the blob will not be completed');
    this.#consumed += length;
    return length === 0 ? undefined : this.#buffer.subarray(0, length);
  }

  close(): void {
    giveChunkBack(this.#buffer);
  }
}
