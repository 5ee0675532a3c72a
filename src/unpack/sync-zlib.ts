import {
  constants,
  createGunzip,
  createZstdDecompress,
  type Gunzip,
  gzipSync,
  type ZstdDecompress,
  zstdCompressSync,
} from 'node:zlib';
import { chunkBytes, giveChunkBack, takeChunk } from './byte-source.ts';
import { LayerError } from './errors.ts';

/**
 * Decompression without leaving the thread. The streams of `node:zlib` hand every chunk to a thread pool and back,
 * which costs a third of the time of unpacking; a worker thread has nothing else to do meanwhile. This drives the same
 * native object directly and so rests on internals of Node: `syncZlibWorks` finds out at start-up whether they are as
 * expected, and if not the public streams do the work (`decompress-stream.ts`).
 */

/** Receives decompressed bytes; the memory is used again after the call. */
export type Sink = (bytes: Buffer) => void;

interface NativeHandle {
  onerror: (message: string, errno: number, code: string) => void;
  writeSync(
    flush: number,
    input: Buffer,
    inputOffset: number,
    inputLength: number,
    output: Buffer,
    outputOffset: number,
    outputLength: number,
  ): void;
}

interface Internals {
  _handle: NativeHandle;
  /** Output space and input bytes that the last write left over. */
  _writeState: Uint32Array;
}

export class SyncDecompressor {
  readonly #stream: Gunzip | ZstdDecompress;
  readonly #handle: NativeHandle;
  readonly #writeState: Uint32Array;
  readonly #sink: Sink;
  readonly #output = takeChunk();
  #failure: string | undefined;

  constructor(stream: Gunzip | ZstdDecompress, sink: Sink) {
    const { _handle, _writeState } = stream as unknown as Internals;
    this.#stream = stream;
    this.#handle = _handle;
    this.#writeState = _writeState;
    this.#sink = sink;
    _handle.onerror = (message) => {
      this.#failure = message;
    };
  }

  /**
   * Decompresses and returns how many bytes of the input were left, which happens only after the end of the stream.
   * @throws LayerError `bad-compression`, or what the sink throws
   */
  write(input: Buffer, flush: number): number {
    let left = input.byteLength;
    for (;;) {
      this.#handle.writeSync(flush, input, input.byteLength - left, left, this.#output, 0, chunkBytes);
      if (this.#failure !== undefined) throw new LayerError('bad-compression', this.#failure);
      const spaceLeft = this.#writeState[0]!;
      const inputLeft = this.#writeState[1]!;
      if (spaceLeft < chunkBytes) this.#sink(this.#output.subarray(0, chunkBytes - spaceLeft));
      const stalled = inputLeft === left;
      left = inputLeft;
      if (spaceLeft > 0 && (left === 0 || stalled)) return left;
    }
  }

  close(): void {
    this.#stream.destroy();
    giveChunkBack(this.#output);
  }
}

export class ZlibGunzip {
  readonly #decompressor: SyncDecompressor;

  constructor(sink: Sink) {
    this.#decompressor = new SyncDecompressor(createGunzip(), sink);
  }

  /** As `SyncDecompressor.write`: bytes that are left begin with a NUL behind the end of a member. */
  write(input: Buffer): number {
    return this.#decompressor.write(input, constants.Z_NO_FLUSH);
  }

  /** @throws LayerError `bad-compression` if a member is not complete */
  end(): void {
    this.#decompressor.write(Buffer.alloc(0), constants.Z_FINISH);
  }

  close(): void {
    this.#decompressor.close();
  }
}

let works: boolean | undefined;

/** True if this Node has the internals that `SyncDecompressor` needs; tried once, on a few bytes. */
export function syncZlibWorks(): boolean {
  works ??= tryInternals();
  return works;
}

function tryInternals(): boolean {
  const sample = Buffer.from('lading '.repeat(100));
  try {
    return (
      roundTrip(createGunzip(), gzipSync(sample), constants.Z_NO_FLUSH, sample) &&
      roundTrip(createZstdDecompress(), zstdCompressSync(sample), constants.ZSTD_e_continue, sample)
    );
  } catch {
    return false;
  }
}

function roundTrip(stream: Gunzip | ZstdDecompress, packed: Buffer, flush: number, expected: Buffer): boolean {
  const parts: Buffer[] = [];
  const decompressor = new SyncDecompressor(stream, (bytes) => parts.push(Buffer.from(bytes)));
  try {
    // Twice: the second round is a second gzip member or zstd frame in the same stream.
    const left = decompressor.write(Buffer.concat([packed, packed]), flush);
    return left === 0 && Buffer.concat(parts).equals(Buffer.concat([expected, expected]));
  } finally {
    decompressor.close();
  }
}
