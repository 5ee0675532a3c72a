/** Writes tar archives whose bytes depend on their entries alone. @see POSIX.1-1988 ustar, POSIX.1-2001 pax */

/** One file or folder; owned by root, dated 1970. */
export interface TarEntry {
  /** Relative, folders without the slash at the end. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** A folder if undefined. */
  readonly content?: Uint8Array;
}

const blockBytes = 512;
/** Longer ones are said by an extended header before: those of blobs with a sha512 digest are. */
const maxPathBytes = 100;
/** What eleven octal digits can say: 8 GiB. Larger sizes are written in base 256, as GNU tar does. */
const maxOctalSize = 8 ** 11 - 1;

/** Two blocks of zeros. */
export const tarEnd: Uint8Array = new Uint8Array(2 * blockBytes);

/** A whole archive in memory, uncompressed. */
export function writeTar(entries: readonly TarEntry[]): Uint8Array {
  const blocks = entries.flatMap(({ path, mode, content }) =>
    content
      ? [tarHeader({ path, mode, size: content.length }), content, tarPadding(content.length)]
      : [tarHeader({ path, mode })],
  );
  return Buffer.concat([...blocks, tarEnd]);
}

/**
 * All that goes before the content of one entry; `size` bytes of it and their padding follow.
 * @param entry a folder if it has no `size`
 */
export function tarHeader({ path, mode, size }: { path: string; mode: number; size?: number }): Uint8Array {
  const isFolder = size === undefined;
  const name = isFolder ? `${path}/` : path;
  const header = headerBlock({ name, mode, size: size ?? 0, type: isFolder ? '5' : '0' });
  return Buffer.byteLength(name) > maxPathBytes ? Buffer.concat([longPath(name), header]) : header;
}

function longPath(name: string): Uint8Array {
  const record = Buffer.from(paxRecord('path', name));
  const header = headerBlock({ name: 'PaxHeaders/path', mode: 0o644, size: record.length, type: 'x' });
  return Buffer.concat([header, record, tarPadding(record.length)]);
}

/** A record says its own length, the digits of that included. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`;
  const restBytes = Buffer.byteLength(rest);
  const digits = String(restBytes + String(restBytes).length).length;
  return `${restBytes + digits}${rest}`;
}

function headerBlock({ name, mode, size, type }: { name: string; mode: number; size: number; type: string }): Buffer {
  const header = Buffer.alloc(blockBytes);
  header.write(name, 0, maxPathBytes);
  header.write(octal(mode, 7), 100);
  header.write(octal(0, 7), 108); // uid
  header.write(octal(0, 7), 116); // gid
  writeSize(header, size);
  header.write(octal(0, 11), 136); // mtime
  header.write(' '.repeat(8), 148); // checksum, counted as blanks
  header.write(type, 156);
  header.write('ustar\x0000', 257);
  header.write('root', 265);
  header.write('root', 297);
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${octal(checksum, 6)}\0 `, 148);
  return header;
}

/** Zeros up to the next block. */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array((blockBytes - (size % blockBytes)) % blockBytes);
}

function writeSize(header: Buffer, size: number): void {
  if (size <= maxOctalSize) {
    header.write(octal(size, 11), 124);
    return;
  }
  header[124] = 0x80;
  header.writeBigUInt64BE(BigInt(size), 128);
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
