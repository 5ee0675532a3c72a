import { crc32 } from 'node:zlib';
import { LayerError } from './errors.ts';

const flag = { headerCrc: 2, extra: 4, name: 8, comment: 16, reserved: 0xe0 };
const nothing = Buffer.alloc(0);

/**
 * The header of one gzip member, which comes in pieces of any size; refused is what zlib refuses. ISA-L reads headers
 * too, but it takes reserved bits, and a header that comes in two pieces fails its own CRC there.
 * @see RFC 1952, section 2.3
 */
export class GzipHeader {
  readonly #bytes = this.#expectedBytes();
  #piece: Buffer = nothing;
  #start = 0;
  #position = 0;
  #crcOfPiecesBefore = 0;

  constructor() {
    this.#bytes.next();
  }

  /**
   * Takes what of the piece belongs to the header; returns where the header ends, or undefined if it goes on in the
   * next piece.
   * @throws LayerError `bad-compression`
   */
  write(piece: Buffer, start: number): number | undefined {
    this.#piece = piece;
    this.#start = start;
    for (this.#position = start; this.#position < piece.byteLength; ) {
      const byte = piece[this.#position]!;
      this.#position++;
      if (this.#bytes.next(byte).done === true) return this.#position;
    }
    this.#crcOfPiecesBefore = this.#crc();
    return undefined;
  }

  #crc(): number {
    return crc32(this.#piece.subarray(this.#start, this.#position), this.#crcOfPiecesBefore);
  }

  *#expectedBytes(): Generator<void, void, number> {
    if ((yield) !== 0x1f || (yield) !== 0x8b) throw new LayerError('bad-compression', 'incorrect header check');
    if ((yield) !== 8) throw new LayerError('bad-compression', 'unknown compression method');
    const flags = yield;
    if ((flags & flag.reserved) !== 0) throw new LayerError('bad-compression', 'unknown header flags set');
    const timeAndSystemBytes = 6;
    for (let count = 0; count < timeAndSystemBytes; count++) yield;
    if ((flags & flag.extra) !== 0) {
      const length = (yield) + (yield) * 256;
      for (let count = 0; count < length; count++) yield;
    }
    if ((flags & flag.name) !== 0) while ((yield) !== 0);
    if ((flags & flag.comment) !== 0) while ((yield) !== 0);
    if ((flags & flag.headerCrc) !== 0) {
      const expected = this.#crc() & 0xffff;
      if ((yield) + (yield) * 256 !== expected) throw new LayerError('bad-compression', 'header crc mismatch');
    }
  }
}
