import { LayerError } from './errors.ts';

/**
 * Walks the frames of a zstd stream (RFC 8878) ahead of the decoder: refuses windows and dictionaries before anything
 * is allocated for them, knows where frames end, and notices truncation and foreign bytes after the last frame. Node's
 * own stream stops after the first frame without a word.
 */
export interface FrameSink {
  /** Bytes of a data frame, its header first; skippable frames are left out. */
  data(bytes: Buffer): void;
  /** The data frame is complete. */
  frameEnd(): void;
}

const dataMagic = 0xfd2fb528;
const skippableMagic = 0x184d2a50;

/** Whether bytes at the start of a blob say that it is zstd (C1). */
export function looksLikeZstd(start: Buffer): boolean {
  if (start.byteLength < 4) return false;
  const magic = start.readUInt32LE(0);
  return magic === dataMagic || isSkippable(magic);
}

function isSkippable(magic: number): boolean {
  return magic >>> 4 === skippableMagic >>> 4;
}

type State = 'magic' | 'header' | 'block-header' | 'content' | 'checksum' | 'skippable';

export class ZstdFrameWalker {
  readonly #sink: FrameSink;
  readonly #maxWindowSize: number;
  #state: State = 'magic';
  /** Bytes of a fixed-size field that are read so far: 14 is the longest frame header behind the magic. */
  readonly #field = Buffer.alloc(18);
  #fieldLength = 0;
  /** Bytes of the field at hand, magic included for a frame header. */
  #wanted = 4;
  #left = 0;
  #lastBlock = false;
  #hasChecksum = false;

  constructor(sink: FrameSink, maxWindowSize: number) {
    this.#sink = sink;
    this.#maxWindowSize = maxWindowSize;
  }

  /** @throws LayerError `bad-compression`, or what the sink throws */
  write(chunk: Buffer): void {
    let index = 0;
    /** First byte of the chunk that belongs to a data frame and was not passed on yet. */
    let from = 0;
    while (index < chunk.byteLength) {
      if (this.#state === 'content' || this.#state === 'skippable') {
        const taken = Math.min(this.#left, chunk.byteLength - index);
        index += taken;
        this.#left -= taken;
        if (this.#left > 0) break;
        if (this.#state === 'skippable') {
          this.#expect('magic', 4);
          from = index;
          continue;
        }
        from = this.#endBlock(chunk, from, index);
        continue;
      }
      const taken = chunk.copy(this.#field, this.#fieldLength, index, index + this.#wanted - this.#fieldLength);
      this.#fieldLength += taken;
      index += taken;
      if (this.#fieldLength < this.#wanted) break;
      from = this.#onField(chunk, from, index);
    }
    // The bytes of a frame header are kept until it is complete and was judged.
    const passable = this.#state === 'block-header' || this.#state === 'content' || this.#state === 'checksum';
    if (passable && from < chunk.byteLength) this.#sink.data(chunk.subarray(from));
  }

  /** @throws LayerError `bad-compression` if the stream ends inside a frame */
  end(): void {
    if (this.#state !== 'magic' || this.#fieldLength > 0) {
      throw bad('the zstd stream ends in the middle of a frame');
    }
  }

  #expect(state: State, wanted: number): void {
    this.#state = state;
    this.#wanted = wanted;
    this.#fieldLength = 0;
  }

  /** A fixed-size field is complete; returns the new start of what was not passed on. */
  #onField(chunk: Buffer, from: number, index: number): number {
    switch (this.#state) {
      case 'magic':
        this.#onMagic();
        return from;
      case 'header':
        return this.#onHeader(from, index);
      case 'block-header':
        return this.#onBlockHeader(chunk, from, index);
      default:
        return this.#endFrame(chunk, from, index);
    }
  }

  #onMagic(): void {
    if (this.#wanted === 8) {
      this.#left = this.#field.readUInt32LE(4);
      this.#expect(this.#left === 0 ? 'magic' : 'skippable', 4);
      return;
    }
    const magic = this.#field.readUInt32LE(0);
    if (isSkippable(magic)) {
      this.#wanted = 8;
      return;
    }
    if (magic !== dataMagic) throw bad('the zstd stream goes on with bytes that are no frame');
    this.#state = 'header';
    this.#wanted = 5;
  }

  #onHeader(from: number, index: number): number {
    const descriptor = this.#field[4]!;
    const singleSegment = (descriptor & 0x20) !== 0;
    const dictionaryLength = [0, 1, 2, 4][descriptor & 3]!;
    const sizeLength = [singleSegment ? 1 : 0, 2, 4, 8][descriptor >>> 6]!;
    const windowLength = singleSegment ? 0 : 1;
    const wanted = 5 + windowLength + dictionaryLength + sizeLength;
    if (this.#wanted < wanted) {
      this.#wanted = wanted;
      return from;
    }
    if ((descriptor & 8) !== 0) throw bad('a zstd frame uses a reserved bit');
    const dictionaryAt = 5 + windowLength;
    if (dictionaryLength > 0 && this.#field.readUIntLE(dictionaryAt, dictionaryLength) !== 0) {
      throw bad('a zstd frame needs a dictionary');
    }
    const window = singleSegment
      ? readSize(this.#field, dictionaryAt + dictionaryLength, sizeLength)
      : windowSize(this.#field[5]!);
    if (window > this.#maxWindowSize) {
      throw bad(`a zstd frame asks for a window of ${window} bytes; the limit is ${this.#maxWindowSize}`);
    }
    this.#hasChecksum = (descriptor & 4) !== 0;
    this.#sink.data(this.#field.subarray(0, wanted));
    this.#expect('block-header', 3);
    return index;
  }

  #onBlockHeader(chunk: Buffer, from: number, index: number): number {
    const header = this.#field.readUIntLE(0, 3);
    const type = (header >>> 1) & 3;
    const runLength = 1;
    if (type === 3) throw bad('a zstd frame has a block of a reserved type');
    this.#lastBlock = (header & 1) !== 0;
    this.#left = type === runLength ? 1 : header >>> 3;
    this.#state = 'content';
    return this.#left === 0 ? this.#endBlock(chunk, from, index) : from;
  }

  #endBlock(chunk: Buffer, from: number, index: number): number {
    if (!this.#lastBlock) this.#expect('block-header', 3);
    else if (this.#hasChecksum) this.#expect('checksum', 4);
    else return this.#endFrame(chunk, from, index);
    return from;
  }

  #endFrame(chunk: Buffer, from: number, index: number): number {
    if (index > from) this.#sink.data(chunk.subarray(from, index));
    this.#sink.frameEnd();
    this.#expect('magic', 4);
    return index;
  }
}

function readSize(field: Buffer, offset: number, length: number): number {
  if (length === 8) return Number(field.readBigUInt64LE(offset));
  return field.readUIntLE(offset, length) + (length === 2 ? 256 : 0);
}

function windowSize(descriptor: number): number {
  const base = 2 ** (10 + (descriptor >>> 3));
  return base + (base / 8) * (descriptor & 7);
}

function bad(problem: string): LayerError {
  return new LayerError('bad-compression', problem);
}
