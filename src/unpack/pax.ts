import { LayerError } from './errors.ts';
import type { Extent } from './sparse.ts';

/** PAX extended headers (T6): overrides for the next entry, extended attributes, sparse maps. */

export interface PaxOverrides {
  path?: string;
  linkPath?: string;
  size?: number;
  uid?: number;
  gid?: number;
  mtime?: Timestamp;
  /** `SCHILY.xattr.*`, in the order of the archive; the last of a name counts. Values are raw bytes. */
  xattrs?: Map<string, Buffer>;
  sparse?: PaxSparse;
}

/** `nsec` is 0 … 999,999,999 and counts towards the future, also for negative `sec`. */
export interface Timestamp {
  readonly sec: number;
  readonly nsec: number;
}

/** `GNU.sparse.*` as it stands in the records; what it means is decided in `sparse.ts`. */
export interface PaxSparse {
  major?: string;
  minor?: string;
  name?: string;
  size?: number;
  realSize?: number;
  blocks?: number;
  /** Formats 0.0 and 0.1. */
  map?: Extent[];
  /** Format 0.0: an offset that waits for its length. */
  pendingOffset?: number;
}

const xattrPrefix = 'SCHILY.xattr.';
const sparsePrefix = 'GNU.sparse.';

/**
 * @param payload the whole content of an `x` header
 * @throws LayerError `bad-tar` for a record that is not what its length says, an unusable key, or a value of a used key
 * that is no number
 */
export function parsePax(payload: Buffer): PaxOverrides {
  const overrides: PaxOverrides = {};
  for (let start = 0; start < payload.byteLength; ) {
    const end = start + recordLength(payload, start);
    const space = payload.indexOf(0x20, start);
    const equals = payload.indexOf(0x3d, space);
    if (end > payload.byteLength || payload[end - 1] !== 0x0a || equals === -1 || equals >= end - 1) {
      throw bad('a PAX record does not end where its length says');
    }
    const key = payload.toString('latin1', space + 1, equals);
    if (key === '' || key.includes('\0')) throw bad('a PAX record has an unusable key');
    apply(overrides, key, payload.subarray(equals + 1, end - 1));
    start = end;
  }
  if (overrides.sparse?.pendingOffset !== undefined) throw bad('a sparse map ends with an offset');
  return overrides;
}

function recordLength(payload: Buffer, start: number): number {
  let length = 0;
  for (let index = start; ; index++) {
    const byte = payload[index];
    if (byte === 0x20 && index > start) return length;
    if (byte === undefined || byte < 0x30 || byte > 0x39) throw bad('a PAX record has no length');
    length = length * 10 + (byte - 0x30);
    if (length > payload.byteLength) throw bad('a PAX record is longer than its header');
  }
}

function apply(overrides: PaxOverrides, key: string, value: Buffer): void {
  if (key.startsWith(xattrPrefix)) {
    overrides.xattrs ??= new Map();
    // A copy: the payload's memory is used again for the next header.
    overrides.xattrs.set(key.slice(xattrPrefix.length), Buffer.from(value));
    return;
  }
  if (key.startsWith(sparsePrefix)) {
    overrides.sparse ??= {};
    applySparse(overrides.sparse, key.slice(sparsePrefix.length), value.toString('latin1'));
    return;
  }
  const text = value.toString('latin1');
  switch (key) {
    case 'path':
      setOrClear(overrides, 'path', text === '' ? undefined : checkedPath(text));
      break;
    case 'linkpath':
      setOrClear(overrides, 'linkPath', text === '' ? undefined : checkedPath(text));
      break;
    case 'size':
    case 'uid':
    case 'gid':
      setOrClear(overrides, key, text === '' ? undefined : decimal(text, key));
      break;
    case 'mtime':
      setOrClear(overrides, 'mtime', text === '' ? undefined : parseTime(text));
      break;
  }
}

/** An empty value takes the override back: the header field counts. */
function setOrClear<K extends keyof PaxOverrides>(
  overrides: PaxOverrides,
  key: K,
  value: PaxOverrides[K] | undefined,
): void {
  if (value === undefined) delete overrides[key];
  else overrides[key] = value;
}

function checkedPath(text: string): string {
  if (text.includes('\0')) throw bad('a PAX path holds a NUL');
  return text;
}

function applySparse(sparse: PaxSparse, key: string, value: string): void {
  if (value === '') return;
  switch (key) {
    case 'major':
    case 'minor':
      sparse[key] = value;
      break;
    case 'name':
      sparse.name = checkedPath(value);
      break;
    case 'size':
      sparse.size = decimal(value, 'sparse size');
      break;
    case 'realsize':
      sparse.realSize = decimal(value, 'sparse size');
      break;
    case 'numblocks':
      sparse.blocks = decimal(value, 'number of extents');
      break;
    case 'map':
      sparse.map = parseMap(value);
      break;
    case 'offset':
      if (sparse.pendingOffset !== undefined) throw bad('a sparse map has two offsets in a row');
      sparse.pendingOffset = decimal(value, 'sparse offset');
      break;
    case 'numbytes':
      if (sparse.pendingOffset === undefined) throw bad('a sparse map has a length without an offset');
      sparse.map ??= [];
      sparse.map.push({ offset: sparse.pendingOffset, length: decimal(value, 'sparse length') });
      delete sparse.pendingOffset;
      break;
  }
}

function parseMap(text: string): Extent[] {
  const numbers = text.split(',').map((part) => decimal(part, 'sparse map'));
  if (numbers.length % 2 !== 0) throw bad('a sparse map ends with an offset');
  const extents: Extent[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    extents.push({ offset: numbers[index]!, length: numbers[index + 1]! });
  }
  return extents;
}

function decimal(text: string, what: string): number {
  if (!/^[0-9]+$/.test(text)) throw bad(`${JSON.stringify(text.slice(0, 40))} is no ${what}`);
  return Number(text);
}

/** Decimal seconds; digits past nine are cut, not rounded. */
function parseTime(text: string): Timestamp {
  const match = /^(-?)([0-9]+)(?:\.([0-9]*))?$/.exec(text);
  if (!match) throw bad(`${JSON.stringify(text.slice(0, 40))} is no time`);
  const sec = Number(match[2]);
  const nsec = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] === '') return { sec, nsec };
  return nsec === 0 ? { sec: -sec, nsec } : { sec: -sec - 1, nsec: 1_000_000_000 - nsec };
}

function bad(problem: string): LayerError {
  return new LayerError('bad-tar', problem);
}
