/**
 * What the rules for layers make of an archive in memory: slow, and without a line in common with the unpacker. This
 * part reads the archive (layers.md T1 – T9).
 */

/** The archive breaks a rule. */
export class Refused extends Error {}

export interface ReferenceEntry {
  /** One character per byte. */
  readonly name: string;
  readonly link: string;
  readonly type: string;
  readonly mode: number;
  readonly uid: bigint;
  readonly gid: bigint;
  /** Nanoseconds since 1970; what no file can have is 0. */
  readonly time: bigint;
  readonly device: readonly [major: bigint, minor: bigint];
  readonly data: Buffer;
  readonly isSparse: boolean;
  readonly hasXattrs: boolean;
}

const block = 512;
const maxHeaderBytes = 2 ** 20;
const maxTime = 2n ** 63n - 1n;

export function referenceEntries(tar: Buffer, limits: { maxEntrySize: number }): ReferenceEntry[] {
  const found: ReferenceEntry[] = [];
  let pax = new Map<string, Buffer>();
  let sparseRecords: [string, string][] = [];
  const long = { L: '', K: '' };
  let zeroBlocks = 0;
  for (let at = 0; at < tar.byteLength; ) {
    need(at + block <= tar.byteLength, 'it ends inside a header');
    const header = tar.subarray(at, at + block);
    at += block;
    if (header.every((byte) => byte === 0)) {
      zeroBlocks += 1;
      if (zeroBlocks === 2) break;
      continue;
    }
    need(zeroBlocks === 0, 'an entry follows a zero block');
    const fields = readHeader(header);
    const type = String.fromCharCode(header[156]!);
    if ('xgLK'.includes(type)) {
      need(fields.size <= maxHeaderBytes, 'a large extension header');
      const payload = takeData(tar, at, Number(fields.size));
      at += padded(Number(fields.size));
      if (type === 'x') [pax, sparseRecords] = readPax(payload);
      if (type === 'L' || type === 'K') long[type] = upToNul(payload);
      continue;
    }
    const sparse = readSparseRecords(sparseRecords);
    const name = sparse?.name ?? (long.L || text(pax, 'path') || fields.name);
    const resolved = type !== '\0' ? type : name.endsWith('/') ? '5' : '0';
    const stored = '123456'.includes(resolved) ? 0n : decimal(pax, 'size', fields.size);
    need(stored <= limits.maxEntrySize, 'a large entry');
    need(!sparse || !'123456'.includes(resolved), 'sparse without data');
    const raw = takeData(tar, at, Number(stored));
    at += padded(Number(stored));
    found.push({
      name,
      link: long.K || text(pax, 'linkpath') || fields.link,
      type: resolved,
      mode: Number(fields.mode & 0o7777n),
      uid: decimal(pax, 'uid', fields.uid),
      gid: decimal(pax, 'gid', fields.gid),
      time: timeOf(pax, fields.mtime),
      device: fields.device,
      data: sparse ? expand(sparse, raw, limits) : raw,
      isSparse: sparse !== undefined,
      hasXattrs: [...pax.keys()].some((key) => key.startsWith('SCHILY.xattr.')),
    });
    [pax, sparseRecords, long.L, long.K] = [new Map(), [], '', ''];
  }
  return found;
}

export function need(isRight: boolean, problem: string): asserts isRight {
  if (!isRight) throw new Refused(problem);
}

function takeData(tar: Buffer, at: number, size: number): Buffer {
  need(at + size <= tar.byteLength, 'it ends inside data');
  return tar.subarray(at, at + size);
}

function padded(size: number): number {
  return Math.ceil(size / block) * block;
}

function upToNul(bytes: Buffer): string {
  return bytes.toString('latin1').split('\0')[0]!;
}

function readHeader(header: Buffer) {
  const magic = header.toString('latin1', 257, 265);
  const isPosix = magic.startsWith('ustar\0');
  const isStar = isPosix && header.toString('latin1', 508) === 'tar\0';
  const hasDevices = isPosix || magic === 'ustar  \0';
  const blank = Buffer.from(header).fill(' ', 148, 156);
  const sums = [blank.reduce((sum, byte) => sum + byte, 0), new Int8Array(blank).reduce((sum, byte) => sum + byte, 0)];
  need(sums.includes(Number(number(header, 148, 8))), 'a wrong checksum');
  const prefix = isPosix ? upToNul(header.subarray(345, isStar ? 476 : 500)) : '';
  const ownName = upToNul(header.subarray(0, 100));
  const size = number(header, 124, 12);
  need(size >= 0n, 'a negative size');
  return {
    name: prefix ? `${prefix}/${ownName}` : ownName,
    link: upToNul(header.subarray(157, 257)),
    mode: BigInt.asUintN(12, number(header, 100, 8)),
    uid: number(header, 108, 8),
    gid: number(header, 116, 8),
    size,
    mtime: number(header, 136, 12),
    device: hasDevices ? ([number(header, 329, 8), number(header, 337, 8)] as const) : ([0n, 0n] as const),
  };
}

function number(header: Buffer, start: number, length: number): bigint {
  const field = header.subarray(start, start + length);
  if (field[0]! >= 0x80) {
    const bits = BigInt(`0x${field.toString('hex')}`);
    return field[0] === 0xff ? BigInt.asIntN(8 * length, bits) : BigInt.asUintN(8 * length - 1, bits);
  }
  const [, digits] = /^[ \0]*([0-7]*)[ \0]*$/.exec(field.toString('latin1')) ?? [];
  need(digits !== undefined, 'a field that is no number');
  return BigInt(`0o${digits || '0'}`);
}

function readPax(payload: Buffer): [Map<string, Buffer>, [string, string][]] {
  const records = new Map<string, Buffer>();
  const sparse: [string, string][] = [];
  for (let rest = payload; rest.byteLength > 0; ) {
    const [, length] = /^([0-9]+) /.exec(rest.toString('latin1')) ?? [];
    need(length !== undefined && Number(length) <= rest.byteLength, 'a record without its length');
    const record = rest.toString('latin1', 0, Number(length));
    const [, key, value] = /^[0-9]+ ([^=\0]+)=([\s\S]*)\n$/.exec(record) ?? [];
    need(key !== undefined && value !== undefined, 'a record that is none');
    checkValue(key, value);
    if (value === '' && !key.startsWith('SCHILY.xattr.')) records.delete(key);
    else records.set(key, Buffer.from(value, 'latin1'));
    if (key.startsWith('GNU.sparse.') && value !== '') sparse.push([key.slice('GNU.sparse.'.length), value]);
    rest = rest.subarray(Number(length));
  }
  return [records, sparse];
}

function checkValue(key: string, value: string): void {
  if (value === '') return;
  if (['size', 'uid', 'gid'].includes(key)) need(/^[0-9]+$/.test(value), 'a value that is no number');
  if (key === 'mtime') need(/^-?[0-9]+(\.[0-9]*)?$/.test(value), 'a value that is no time');
  if (['path', 'linkpath', 'GNU.sparse.name'].includes(key)) need(!value.includes('\0'), 'a NUL in a path');
}

function text(pax: ReadonlyMap<string, Buffer>, key: string): string {
  return pax.get(key)?.toString('latin1') ?? '';
}

function decimal(pax: ReadonlyMap<string, Buffer>, key: string, otherwise: bigint): bigint {
  const value = text(pax, key);
  return value === '' ? otherwise : BigInt(value);
}

function timeOf(pax: ReadonlyMap<string, Buffer>, header: bigint): bigint {
  const value = text(pax, 'mtime');
  const [sec = '0', fraction = ''] = value.split('.');
  const nanoseconds = value === '' ? header * 10n ** 9n : BigInt(sec + fraction.slice(0, 9).padEnd(9, '0'));
  return nanoseconds < 0n || nanoseconds > maxTime ? 0n : nanoseconds;
}

interface Sparse {
  readonly name: string | undefined;
  /** Undefined: in front of the data. */
  readonly extents: [bigint, bigint][] | undefined;
  readonly size: bigint | undefined;
}

function readSparseRecords(records: readonly [string, string][]): Sparse | undefined {
  const last = (key: string) => records.findLast(([each]) => each === key)?.[1];
  let extents: [bigint, bigint][] | undefined;
  let offset: bigint | undefined;
  for (const [key, value] of records) {
    if (['size', 'realsize', 'numblocks', 'offset', 'numbytes'].includes(key)) {
      need(/^[0-9]+$/.test(value), 'no number in a sparse record');
    }
    if (key === 'map') {
      need(/^[0-9]+,[0-9]+(,[0-9]+,[0-9]+)*$/.test(value), 'a map that is none');
      const numbers = value.split(',').map(BigInt);
      extents = numbers.flatMap((at, index) => (index % 2 === 0 ? [[at, numbers[index + 1]!]] : []));
    }
    if (key === 'offset') {
      need(offset === undefined, 'two offsets');
      offset = BigInt(value);
    }
    if (key === 'numbytes') {
      need(offset !== undefined, 'a length without offset');
      extents = [...(extents ?? []), [offset, BigInt(value)]];
      offset = undefined;
    }
  }
  need(offset === undefined, 'an offset without length');
  const blocks = last('numblocks');
  const version = [last('major'), last('minor')].join('.');
  const isUnversioned = version === '.' && (extents !== undefined || (blocks !== undefined && Number(blocks) === 0));
  if (!isUnversioned && !['0.0', '0.1', '1.0'].includes(version)) return undefined;
  const size = last('size') ?? last('realsize');
  const inHeader = version === '1.0' ? undefined : (extents ?? []);
  need(!inHeader || blocks === undefined || Number(blocks) === inHeader.length, 'a wrong count');
  return { name: last('name'), extents: inHeader, size: size === undefined ? undefined : BigInt(size) };
}

function expand({ extents, size }: Sparse, raw: Buffer, limits: { maxEntrySize: number }): Buffer {
  const realSize = size ?? BigInt(raw.byteLength);
  need(realSize <= limits.maxEntrySize, 'a large sparse file');
  const [map, data] = extents ? [extents, raw] : mapInFront(raw);
  const whole = Buffer.alloc(Number(realSize));
  let end = 0n;
  let taken = 0;
  for (const [offset, length] of map) {
    need(offset >= end && offset + length <= realSize, 'extents that overlap or leave the file');
    need(taken + Number(length) <= data.byteLength, 'too little data');
    data.copy(whole, Number(offset), taken, taken + Number(length));
    taken += Number(length);
    end = offset + length;
  }
  need(taken === data.byteLength, 'too much data');
  return whole;
}

function mapInFront(raw: Buffer): [[bigint, bigint][], Buffer] {
  const lines = raw.toString('latin1').split('\n');
  need(/^[0-9]+$/.test(lines[0]!) && lines.length > 1, 'a map without count');
  const count = 2 * Number(lines[0]);
  const numbers = lines.slice(1, 1 + count);
  need(lines.length > 1 + count && numbers.every((line) => /^[0-9]+$/.test(line)), 'a map that is none');
  const bytes = padded([lines[0]!, ...numbers].join('\n').length + 1);
  need(bytes <= raw.byteLength, 'a map without its padding');
  const map = numbers.flatMap((line, index): [bigint, bigint][] =>
    index % 2 === 0 ? [[BigInt(line), BigInt(numbers[index + 1]!)]] : [],
  );
  return [map, raw.subarray(bytes)];
}
