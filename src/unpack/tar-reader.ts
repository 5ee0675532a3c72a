import { LayerError, printableName, printableNumber } from './errors.ts';
import type { UnpackLimits } from './limits.ts';
import { type PaxOverrides, type PaxSparse, parsePax, type Timestamp } from './pax.ts';
import { checkCount, checkExtents, type Extent, SparseMapReader, sparseFormat } from './sparse.ts';
import { blockSize, type HeaderFields, isZeroBlock, parseHeader, typeFlags } from './tar-header.ts';

/**
 * Reads a tar stream that is pushed into it and reports its entries in order (T1, T5 – T9). It judges the archive, not
 * what is in it: names, types and owners are for the handler.
 */

/** One real entry: extension headers are merged into it. Names are byte strings. */
export interface TarEntry {
  readonly name: string;
  readonly linkName: string;
  /** A type flag; NUL has become a file or a directory. */
  readonly type: number;
  readonly mode: number;
  /** May be out of range: a name that makes nothing needs no owner. */
  readonly uid: number;
  readonly gid: number;
  /** Bytes of the file, holes included; 0 for types without data. */
  readonly size: number;
  readonly mtime: Timestamp;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  readonly xattrs: ReadonlyMap<string, Buffer> | undefined;
  /** True if data comes in extents with holes between them. */
  readonly sparse: boolean;
}

export interface EntryHandler {
  /** An entry begins. */
  entry(entry: TarEntry): void;
  /** Data of the entry, to be put at `position`; the memory is used again after the call. */
  data(bytes: Buffer, position: number): void;
  /** The entry has all its data. */
  end(): void;
}

type State = 'header' | 'extension' | 'skipped-extension' | 'data' | 'padding' | 'after-end';

export class TarReader {
  readonly #handler: EntryHandler;
  readonly #limits: UnpackLimits;
  #state: State = 'header';
  /** Bytes that are left in the state. */
  #left = 0;
  /** Padding that follows the current payload or data. */
  #padding = 0;
  readonly #block = Buffer.alloc(blockSize);
  #blockLength = 0;
  #sawZeroBlock = false;

  #extensionType = 0;
  #extension = Buffer.alloc(0);
  #extensionLength = 0;
  #pax: PaxOverrides | undefined;
  #longName = '';
  #longLink = '';

  #position = 0;
  #sparse: SparseData | undefined;

  constructor(handler: EntryHandler, limits: UnpackLimits) {
    this.#handler = handler;
    this.#limits = limits;
  }

  /** @throws LayerError `bad-tar`, `too-large`, or what the handler throws */
  write(chunk: Buffer): void {
    let position = 0;
    while (position < chunk.byteLength && this.#state !== 'after-end') {
      position += this.#take(position === 0 ? chunk : chunk.subarray(position));
    }
  }

  /** The stream has ended. @throws LayerError `bad-tar` if that was in the middle of something (T1) */
  end(): void {
    const incomplete =
      (this.#state === 'header' && this.#blockLength > 0) ||
      this.#state === 'extension' ||
      this.#state === 'skipped-extension' ||
      this.#state === 'data';
    if (incomplete) throw new LayerError('bad-tar', `the archive ends in the middle of ${nameOfState(this.#state)}`);
  }

  #take(bytes: Buffer): number {
    switch (this.#state) {
      case 'header':
        return this.#takeHeader(bytes);
      case 'extension':
        return this.#takeExtension(bytes);
      case 'data':
        return this.#takeData(bytes);
      default:
        return this.#skip(bytes);
    }
  }

  #takeHeader(bytes: Buffer): number {
    if (this.#blockLength === 0 && bytes.byteLength >= blockSize) {
      this.#onBlock(bytes.subarray(0, blockSize));
      return blockSize;
    }
    const taken = bytes.copy(this.#block, this.#blockLength, 0, blockSize - this.#blockLength);
    this.#blockLength += taken;
    if (this.#blockLength === blockSize) {
      this.#blockLength = 0;
      this.#onBlock(this.#block);
    }
    return taken;
  }

  #onBlock(block: Buffer): void {
    if (isZeroBlock(block)) {
      if (this.#sawZeroBlock) this.#state = 'after-end';
      this.#sawZeroBlock = true;
      return;
    }
    if (this.#sawZeroBlock) throw new LayerError('bad-tar', 'an entry follows a zero block');
    const fields = parseHeader(block);
    if (isExtension(fields.type)) this.#beginExtension(fields);
    else this.#beginEntry(fields);
  }

  #beginExtension({ type, size }: HeaderFields): void {
    if (size > this.#limits.maxExtensionHeaderSize) {
      throw new LayerError(
        'too-large',
        `an extension header of ${printableNumber(size)} bytes; the limit is ${this.#limits.maxExtensionHeaderSize}`,
      );
    }
    this.#padding = paddingOf(size);
    this.#left = size;
    this.#extensionType = type;
    if (type === typeFlags.globalPax) {
      // T7: a global header sets nothing, and its own name touches nothing.
      this.#state = 'skipped-extension';
      if (size === 0) this.#state = 'header';
      return;
    }
    if (this.#extension.byteLength < size) this.#extension = Buffer.allocUnsafe(size);
    this.#extensionLength = 0;
    this.#state = 'extension';
    if (size === 0) this.#endExtension();
  }

  #takeExtension(bytes: Buffer): number {
    const taken = Math.min(bytes.byteLength, this.#left);
    bytes.copy(this.#extension, this.#extensionLength, 0, taken);
    this.#extensionLength += taken;
    this.#left -= taken;
    if (this.#left === 0) this.#endExtension();
    return taken;
  }

  #endExtension(): void {
    const payload = this.#extension.subarray(0, this.#extensionLength);
    if (this.#extensionType === typeFlags.pax) this.#pax = parsePax(payload);
    else if (this.#extensionType === typeFlags.gnuLongName) this.#longName = upToNul(payload);
    else this.#longLink = upToNul(payload);
    this.#beginPadding();
  }

  #beginEntry(fields: HeaderFields): void {
    const pax = this.#pax ?? {};
    const sparse = pax.sparse && sparseFormat(pax.sparse) !== undefined ? pax.sparse : undefined;
    const name = sparse?.name ?? (this.#longName || pax.path || fields.name);
    const linkName = this.#longLink || pax.linkPath || fields.linkName;
    const type = resolveType(fields.type, name);
    const stored = isHeaderOnly(type) ? 0 : (pax.size ?? fields.size);
    this.#pax = undefined;
    this.#longName = '';
    this.#longLink = '';
    this.#sparse = sparse && this.#beginSparse(name, type, stored, sparse);
    const size = this.#sparse?.realSize ?? stored;
    if (Math.max(size, stored) > this.#limits.maxEntrySize) {
      const found = `entry ${printableName(name)} has ${printableNumber(Math.max(size, stored))} bytes`;
      throw new LayerError('too-large', `${found}; the limit is ${this.#limits.maxEntrySize}`);
    }
    this.#position = 0;
    this.#left = stored;
    this.#padding = paddingOf(stored);
    this.#handler.entry({
      name,
      linkName,
      type,
      mode: fields.mode,
      uid: pax.uid ?? fields.uid,
      gid: pax.gid ?? fields.gid,
      size,
      mtime: pax.mtime ?? { sec: fields.mtime, nsec: 0 },
      deviceMajor: fields.deviceMajor,
      deviceMinor: fields.deviceMinor,
      xattrs: pax.xattrs,
      sparse: this.#sparse !== undefined,
    });
    if (stored === 0) this.#endEntry();
    else this.#state = 'data';
  }

  #beginSparse(name: string, type: number, stored: number, sparse: PaxSparse): SparseData {
    if (isHeaderOnly(type)) throw new LayerError('bad-tar', `entry ${printableName(name)} is sparse but has no data`);
    const realSize = sparse.size ?? sparse.realSize ?? stored;
    if (sparseFormat(sparse) === 'map-in-data') {
      const map = new SparseMapReader(this.#limits.maxExtensionHeaderSize);
      return { realSize, map, extents: undefined, stored, index: 0, offsetInExtent: 0 };
    }
    const extents = sparse.map ?? [];
    checkCount(sparse, extents);
    checkExtents(extents, realSize, stored);
    return { realSize, map: undefined, extents, stored, index: 0, offsetInExtent: 0 };
  }

  #takeData(bytes: Buffer): number {
    const taken = Math.min(bytes.byteLength, this.#left);
    const data = taken === bytes.byteLength ? bytes : bytes.subarray(0, taken);
    this.#left -= taken;
    if (this.#sparse) this.#deliverSparse(this.#sparse, data);
    else this.#handler.data(data, this.#position);
    this.#position += taken;
    if (this.#left === 0) this.#endEntry();
    return taken;
  }

  #deliverSparse(sparse: SparseData, bytes: Buffer): void {
    let rest = bytes;
    if (sparse.map && sparse.extents === undefined) {
      rest = rest.subarray(sparse.map.write(rest));
      if (sparse.map.extents === undefined) return;
      sparse.extents = sparse.map.extents;
      checkExtents(sparse.extents, sparse.realSize, sparse.stored - sparse.map.consumed);
    }
    while (rest.byteLength > 0) {
      const extent = sparse.extents![sparse.index]!;
      const length = Math.min(rest.byteLength, extent.length - sparse.offsetInExtent);
      if (length > 0) this.#handler.data(rest.subarray(0, length), extent.offset + sparse.offsetInExtent);
      rest = rest.subarray(length);
      sparse.offsetInExtent += length;
      if (sparse.offsetInExtent === extent.length) {
        sparse.index += 1;
        sparse.offsetInExtent = 0;
      }
    }
  }

  #endEntry(): void {
    if (this.#sparse && this.#sparse.extents === undefined) {
      throw new LayerError('bad-tar', 'a sparse file ends inside its map');
    }
    this.#sparse = undefined;
    this.#handler.end();
    this.#beginPadding();
  }

  #beginPadding(): void {
    this.#left = this.#padding;
    this.#state = this.#left === 0 ? 'header' : 'padding';
  }

  #skip(bytes: Buffer): number {
    const taken = Math.min(bytes.byteLength, this.#left);
    this.#left -= taken;
    if (this.#left === 0) {
      if (this.#state === 'skipped-extension') this.#beginPadding();
      else this.#state = 'header';
    }
    return taken;
  }
}

interface SparseData {
  readonly realSize: number;
  /** Format 1.0. */
  readonly map: SparseMapReader | undefined;
  extents: readonly Extent[] | undefined;
  /** Bytes in the archive, the map of format 1.0 included. */
  readonly stored: number;
  index: number;
  offsetInExtent: number;
}

function isExtension(type: number): boolean {
  return (
    type === typeFlags.pax ||
    type === typeFlags.globalPax ||
    type === typeFlags.gnuLongName ||
    type === typeFlags.gnuLongLink
  );
}

/** T9: these carry no data, whatever their size field says. */
function isHeaderOnly(type: number): boolean {
  return type >= typeFlags.hardlink && type <= typeFlags.fifo;
}

/** E1: NUL is a file, or with a trailing slash a directory. */
function resolveType(type: number, name: string): number {
  if (type !== typeFlags.v7) return type;
  return name.endsWith('/') ? typeFlags.directory : typeFlags.file;
}

function paddingOf(size: number): number {
  return -size & (blockSize - 1);
}

function upToNul(payload: Buffer): string {
  const end = payload.indexOf(0);
  return payload.toString('latin1', 0, end === -1 ? payload.byteLength : end);
}

function nameOfState(state: State): string {
  if (state === 'header') return 'a header';
  return state === 'data' ? 'the data of an entry' : 'an extension header';
}
