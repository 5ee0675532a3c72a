import { blockSize } from '../../src/unpack/tar-header.ts';

/** Tar archives for tests, entry by entry; names are byte strings (latin1). */
export interface TarFields {
  readonly name: string;
  /** A type flag; default `0`. */
  readonly type?: string;
  readonly data?: Buffer | string;
  /** Default: the length of the data. */
  readonly size?: number;
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: number;
  readonly link?: string;
  readonly device?: readonly [number, number];
  /** PAX records in front of the entry. */
  readonly pax?: Readonly<Record<string, string | Buffer>>;
}

export const endOfArchive = Buffer.alloc(2 * blockSize);

export function tar(...entries: readonly TarFields[]): Buffer {
  return Buffer.concat([...entries.map(tarEntry), endOfArchive]);
}

export function tarEntry(fields: TarFields): Buffer {
  const data = Buffer.from(fields.data ?? '');
  const records = { ...longNames(fields), ...fields.pax };
  const pax = Object.keys(records).length === 0 ? [] : [paxHeader(records)];
  return Buffer.concat([...pax, tarHeader({ size: data.byteLength, ...fields }), padded(data)]);
}

/** Header fields take 100 bytes. */
function longNames({ name, link = '' }: TarFields): Record<string, Buffer> {
  return {
    ...(name.length > 100 ? { path: Buffer.from(name, 'latin1') } : {}),
    ...(link.length > 100 ? { linkpath: Buffer.from(link, 'latin1') } : {}),
  };
}

export function paxHeader(records: Readonly<Record<string, string | Buffer>>, type = 'x'): Buffer {
  const payload = Buffer.concat(Object.entries(records).map(([key, value]) => paxRecord(key, Buffer.from(value))));
  return Buffer.concat([tarHeader({ name: 'PaxHeaders/0', type, size: payload.byteLength }), padded(payload)]);
}

function paxRecord(key: string, value: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(` ${key}=`, 'latin1'), value, Buffer.from('\n')]);
  let length = body.byteLength + 1;
  while (`${length}`.length + body.byteLength !== length) length = `${length}`.length + body.byteLength;
  return Buffer.concat([Buffer.from(`${length}`), body]);
}

export function gnuLongHeader(type: 'L' | 'K', value: string): Buffer {
  const payload = Buffer.from(`${value}\0`, 'latin1');
  const fields = { name: '././@LongLink', type, size: payload.byteLength };
  return Buffer.concat([tarHeader(fields), padded(payload)]);
}

export function tarHeader(fields: TarFields): Buffer {
  const header = Buffer.alloc(blockSize);
  const octal = (value: number, start: number, width: number) =>
    header.write(`${value.toString(8).padStart(width - 1, '0')}\0`, start, width, 'latin1');
  header.write(fields.name.slice(0, 100), 0, 100, 'latin1');
  octal(fields.mode ?? 0o644, 100, 8);
  octal(fields.uid ?? 0, 108, 8);
  octal(fields.gid ?? 0, 116, 8);
  octal(fields.size ?? 0, 124, 12);
  octal(fields.mtime ?? 1_500_000_000, 136, 12);
  header.write(fields.type ?? '0', 156, 1, 'latin1');
  header.write((fields.link ?? '').slice(0, 100), 157, 100, 'latin1');
  header.write('ustar\x0000', 257, 8, 'latin1');
  octal(fields.device?.[0] ?? 0, 329, 8);
  octal(fields.device?.[1] ?? 0, 337, 8);
  return withChecksum(header);
}

/** For headers whose bytes were changed by hand. */
export function withChecksum(header: Buffer): Buffer {
  header.fill(' ', 148, 156);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8, 'latin1');
  return header;
}

export function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc(-data.byteLength & (blockSize - 1))]);
}
