import { LayerError } from './errors.ts';
import type { PaxSparse } from './pax.ts';
import { blockSize } from './tar-header.ts';

/** GNU sparse files in PAX formats 0.0, 0.1 and 1.0 (T8). */

export interface Extent {
  /** Bytes from the start of the file. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** The format that the records name; undefined if they describe no sparse file, or one of an unknown version. */
export function sparseFormat(sparse: PaxSparse): 'map-in-header' | 'map-in-data' | undefined {
  const { major, minor } = sparse;
  if (major === '1' && minor === '0') return 'map-in-data';
  if (major === '0' && (minor === '0' || minor === '1')) return 'map-in-header';
  // Formats 0.0 and 0.1 were first written without a version; one without any extents is a hole from start to end.
  const hasMap = sparse.map !== undefined || sparse.blocks === 0;
  if (major === undefined && minor === undefined && hasMap) return 'map-in-header';
  return undefined;
}

/**
 * Extents must ascend, not overlap, stay inside the file and take exactly the bytes that are stored.
 * @throws LayerError `bad-tar`
 */
export function checkExtents(extents: readonly Extent[], realSize: number, storedSize: number): void {
  let end = 0;
  let stored = 0;
  for (const { offset, length } of extents) {
    if (offset < end || offset + length > realSize) throw bad('a sparse map overlaps or leaves its file');
    end = offset + length;
    stored += length;
  }
  if (stored !== storedSize) throw bad('a sparse map does not fit the data that is stored');
}

export function checkCount(sparse: PaxSparse, extents: readonly Extent[]): void {
  if (sparse.blocks !== undefined && sparse.blocks !== extents.length) throw bad('a sparse map has a wrong count');
}

/** Reads the map in front of the data in format 1.0: decimal lines, padded to a block. */
export class SparseMapReader {
  readonly #maxBytes: number;
  readonly #numbers: number[] = [];
  #consumed = 0;
  #expected: number | undefined;
  #current = 0;
  #digits = 0;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** The extents once all are read, padding included. */
  extents: Extent[] | undefined;

  /** Bytes of the map so far, padding included. */
  get consumed(): number {
    return this.#consumed;
  }

  /** Takes bytes of the map and returns how many it took: less than given when the map ends in them. */
  write(bytes: Buffer): number {
    let index = 0;
    while (index < bytes.byteLength && !this.#complete()) {
      this.#take(bytes[index]!);
      index += 1;
      this.#consumed += 1;
      if (this.#consumed > this.#maxBytes) {
        throw new LayerError('too-large', `a sparse map of more than ${this.#maxBytes} bytes`);
      }
    }
    if (!this.#complete()) return index;
    const padding = Math.min(-this.#consumed & (blockSize - 1), bytes.byteLength - index);
    this.#consumed += padding;
    if (this.#consumed % blockSize === 0) this.extents = this.#pairs();
    return index + padding;
  }

  #complete(): boolean {
    return this.#expected !== undefined && this.#numbers.length === this.#expected;
  }

  #take(byte: number): void {
    if (byte !== 0x0a) {
      if (byte < 0x30 || byte > 0x39) throw bad('a sparse map holds something else than numbers');
      this.#current = this.#current * 10 + (byte - 0x30);
      this.#digits += 1;
      return;
    }
    if (this.#digits === 0) throw bad('a sparse map has an empty line');
    if (this.#expected === undefined) this.#expected = this.#current * 2;
    else this.#numbers.push(this.#current);
    this.#current = 0;
    this.#digits = 0;
  }

  #pairs(): Extent[] {
    const extents: Extent[] = [];
    for (let index = 0; index < this.#numbers.length; index += 2) {
      extents.push({ offset: this.#numbers[index]!, length: this.#numbers[index + 1]! });
    }
    return extents;
  }
}

function bad(problem: string): LayerError {
  return new LayerError('bad-tar', problem);
}
