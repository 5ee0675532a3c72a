/** One file or folder of a layer; owned by root, dated 1970. */
export interface TarEntry {
  /** Relative, at most 100 bytes, folders without the slash at the end. */
  readonly path: string;
  /** Permission bits. */
  readonly mode: number;
  /** A folder if undefined. */
  readonly content?: Uint8Array;
}

const blockBytes = 512;

/** An uncompressed tar archive whose bytes depend on the entries alone. @see POSIX.1-1988 ustar */
export function writeTar(entries: readonly TarEntry[]): Uint8Array {
  const blocks = entries.flatMap((entry) => [headerOf(entry), padded(entry.content ?? new Uint8Array())]);
  return Buffer.concat([...blocks, new Uint8Array(2 * blockBytes)]);
}

function headerOf({ path, mode, content }: TarEntry): Uint8Array {
  const header = Buffer.alloc(blockBytes);
  header.write(content ? path : `${path}/`, 0);
  header.write(octal(mode, 7), 100);
  header.write(octal(0, 7), 108); // uid
  header.write(octal(0, 7), 116); // gid
  header.write(octal(content?.length ?? 0, 11), 124);
  header.write(octal(0, 11), 136); // mtime
  header.write(' '.repeat(8), 148); // checksum, counted as blanks
  header.write(content ? '0' : '5', 156);
  header.write('ustar\x0000', 257);
  header.write('root', 265);
  header.write('root', 297);
  const checksum = header.reduce((sum, byte) => sum + byte, 0);
  header.write(`${octal(checksum, 6)}\0 `, 148);
  return header;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}

function padded(content: Uint8Array): Uint8Array {
  const file = new Uint8Array(Math.ceil(content.length / blockBytes) * blockBytes);
  file.set(content);
  return file;
}
