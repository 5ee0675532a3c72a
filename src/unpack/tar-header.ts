import { LayerError } from './errors.ts';

/** One 512-byte tar header: checksum, numbers, names and dialect (T2 – T5). */

export const blockSize = 512;

/** Type flags that the reader itself knows; everything else is for the applier to judge. */
export const typeFlags = {
  v7: 0,
  file: 0x30,
  hardlink: 0x31,
  symlink: 0x32,
  character: 0x33,
  block: 0x34,
  directory: 0x35,
  fifo: 0x36,
  globalPax: 0x67,
  pax: 0x78,
  gnuLongLink: 0x4b,
  gnuLongName: 0x4c,
} as const;

/** The fields of a header. Names are byte strings. Numbers above 2^53 are not exact, but still above every limit. */
export interface HeaderFields {
  name: string;
  linkName: string;
  type: number;
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Seconds since 1970. */
  mtime: number;
  deviceMajor: number;
  deviceMinor: number;
}

/** True if the block holds only NULs. */
export function isZeroBlock(block: Buffer): boolean {
  // Headers begin with a name, so that the first byte nearly always decides.
  if (block[0] !== 0) return false;
  for (let index = 0; index < blockSize; index++) if (block[index] !== 0) return false;
  return true;
}

/** @throws LayerError `bad-tar` for a wrong checksum, a field that is no number, or a negative size */
export function parseHeader(block: Buffer): HeaderFields {
  checkChecksum(block);
  const dialect = dialectOf(block);
  const ownName = text(block, 0, 100);
  const prefix = dialect === 'posix' ? text(block, 345, 155) : dialect === 'star' ? text(block, 345, 131) : '';
  const hasDevices = dialect !== 'v7';
  const size = number(block, 124, 12, 'size');
  if (size < 0) throw new LayerError('bad-tar', `entry ${JSON.stringify(ownName)} has a negative size`);
  return {
    name: prefix === '' ? ownName : `${prefix}/${ownName}`,
    linkName: text(block, 157, 100),
    type: block[156]!,
    mode: modeOf(block),
    uid: number(block, 108, 8, 'uid'),
    gid: number(block, 116, 8, 'gid'),
    size,
    mtime: number(block, 136, 12, 'mtime'),
    deviceMajor: hasDevices ? number(block, 329, 8, 'device major') : 0,
    deviceMinor: hasDevices ? number(block, 337, 8, 'device minor') : 0,
  };
}

/** T4. GNU headers have no prefix: they keep times and sparse maps in its place. */
function dialectOf(block: Buffer): 'v7' | 'posix' | 'star' | 'gnu' {
  const magic = block.toString('latin1', 257, 265);
  if (magic === 'ustar  \0') return 'gnu';
  if (!magic.startsWith('ustar\0')) return 'v7';
  return block.toString('latin1', 508, 512) === 'tar\0' ? 'star' : 'posix';
}

/** T2: over unsigned or over signed bytes, the field itself as spaces. */
function checkChecksum(block: Buffer): void {
  const stated = number(block, 148, 8, 'checksum');
  let sum = 0;
  let high = 0;
  for (let index = 0; index < blockSize; index++) {
    const byte = block[index]!;
    sum += byte;
    high += byte >>> 7;
  }
  for (let index = 148; index < 156; index++) {
    const byte = block[index]!;
    sum += 0x20 - byte;
    high -= byte >>> 7;
  }
  if (stated !== sum && stated !== sum - 256 * high) {
    throw new LayerError('bad-tar', 'a header has a wrong checksum: the layer is damaged or no tar archive');
  }
}

/** Up to the first NUL or the end of the field. */
function text(block: Buffer, start: number, length: number): string {
  const end = block.indexOf(0, start);
  return block.toString('latin1', start, end === -1 || end > start + length ? start + length : end);
}

/** The low bits only, which a number may be too large to keep. */
function modeOf(block: Buffer): number {
  return block[100]! >= 0x80 ? block.readUInt16BE(106) : number(block, 100, 8, 'mode');
}

/** T3. */
function number(block: Buffer, start: number, length: number, field: string): number {
  if (block[start]! >= 0x80) return base256(block, start, length);
  let from = start;
  let to = start + length;
  while (from < to && isPadding(block[from]!)) from += 1;
  while (to > from && isPadding(block[to - 1]!)) to -= 1;
  let value = 0;
  for (let index = from; index < to; index++) {
    const digit = block[index]! - 0x30;
    if (digit < 0 || digit > 7) {
      const shown = JSON.stringify(block.toString('latin1', start, start + length));
      throw new LayerError('bad-tar', `a header has ${shown} as its ${field}, which is no number`);
    }
    value = value * 8 + digit;
  }
  return value;
}

function isPadding(byte: number): boolean {
  return byte === 0x20 || byte === 0;
}

/** Two's complement, big-endian; the top bit of the first byte only marks the form. */
function base256(block: Buffer, start: number, length: number): number {
  const first = block[start]!;
  const negative = first === 0xff;
  let value = BigInt(negative ? 0xff : first & 0x7f);
  for (let index = start + 1; index < start + length; index++) value = (value << 8n) | BigInt(block[index]!);
  return Number(negative ? BigInt.asIntN(8 * length, value) : value);
}
