import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { LadingError } from '../lib/errors.ts';
import { type EntryRecord, type EntryType, entryColumns, type XattrRecord } from '../lib/layer-facts.ts';
import { readRegularFile } from '../lib/read-regular-file.ts';
import { chunkBytes, giveChunkBack, takeChunk } from './byte-source.ts';
import { hostError } from './errors.ts';
import type { Timestamp } from './pax.ts';

export interface RecordedAttributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: Timestamp;
}

export interface RecordedContent {
  readonly size: number;
  readonly content: string;
  readonly xattrs?: XattrRecord | undefined;
}

export const noXattrs: XattrRecord = {};

/** Writes the record of a layer: what is on disk, entry by entry as it is made. @see EntryRecord */
export class LayerRecord {
  readonly #fd: number;
  /** What was not written yet. */
  readonly #piece = takeChunk();
  #pending = 0;
  #written = 0;

  /** @param path of a file that does not exist */
  constructor(path: string) {
    try {
      this.#fd = openSync(path, 'wx+', 0o600);
    } catch (error) {
      throw hostError('the record of the layer', error as NodeJS.ErrnoException);
    }
  }

  /** A later line for the same path counts instead of an earlier one. @returns where the line is, for `read` */
  add(
    path: string,
    type: EntryType,
    { mode, uid, gid, mtime }: RecordedAttributes,
    { size, content, xattrs = noXattrs }: RecordedContent,
  ): number {
    const nanoseconds = mtime.sec === 0 ? `${mtime.nsec}` : `${mtime.sec}${String(mtime.nsec).padStart(9, '0')}`;
    const record: EntryRecord = { path, type, mode, uid, gid, size, mtime: nanoseconds, content, xattrs };
    return this.#append(entryColumns.map((column) => record[column]));
  }

  /** Nothing is at the path any more. */
  remove(path: string): void {
    this.#append([path]);
  }

  read(offset: number): EntryRecord {
    this.flush();
    for (let bytes = 1024; ; bytes *= 8) {
      const buffer = Buffer.allocUnsafe(bytes);
      const length = readSync(this.#fd, buffer, 0, bytes, offset);
      const end = buffer.subarray(0, length).indexOf('\n');
      if (end !== -1) return parseLine(buffer.toString('utf8', 0, end)) as EntryRecord;
    }
  }

  /** Hands everything to the kernel. */
  flush(): void {
    this.#write(this.#piece.subarray(0, this.#pending));
    this.#pending = 0;
  }

  close(): void {
    closeSync(this.#fd);
    giveChunkBack(this.#piece);
  }

  #append(values: readonly unknown[]): number {
    const line = `${JSON.stringify(values)}\n`;
    // Two bytes a character at most. Two longest paths take 48 KiB, all escaped; names of extended attributes may take more.
    const room = line.length * 2;
    if (this.#pending + room > chunkBytes) this.flush();
    const offset = this.#written + this.#pending;
    if (room <= chunkBytes) this.#pending += this.#piece.write(line, this.#pending);
    else this.#write(Buffer.from(line));
    return offset;
  }

  #write(bytes: Buffer): void {
    try {
      for (let done = 0; done < bytes.byteLength; ) {
        done += writeSync(this.#fd, bytes, done, bytes.byteLength - done, this.#written + done);
      }
    } catch (error) {
      throw hostError('the record of the layer', error as NodeJS.ErrnoException);
    }
    this.#written += bytes.byteLength;
  }
}

/**
 * What is on disk of a layer, by path.
 * @throws LadingError `ERR_LADING_LAYER_DAMAGED`
 */
export function readLayerRecord(path: string): Map<string, EntryRecord> {
  const records = new Map<string, EntryRecord>();
  const text = readRegularFile(path) ?? damaged(`${path} is not a file`, { path });
  for (const [index, line] of text.split('\n').entries()) {
    if (line === '') continue;
    const record = parseLine(line) ?? damaged(`line ${index + 1} of ${path}`, { path, line: index + 1 });
    if (isThere(record)) records.set(record.path, record);
    else records.delete(record.path);
  }
  return records;
}

function damaged(problem: string, data: { path: string; line?: number }): never {
  throw new LadingError('ERR_LADING_LAYER_DAMAGED', `the record of its entries is damaged: ${problem}`, {
    hint: 'Run `lading check --repair`, which unpacks what is damaged again.',
    data,
  });
}

/** A path that is gone has nothing but itself. */
type RecordLine = EntryRecord | Pick<EntryRecord, 'path'>;

/** Of a path that is gone; of versions that did not note extended attributes; of this one. */
const lineLengths = [1, entryColumns.length - 1, entryColumns.length];

/** Undefined for what no `LayerRecord` writes. */
function parseLine(line: string): RecordLine | undefined {
  const values = arrayOf(line);
  if (typeof values[0] !== 'string' || !lineLengths.includes(values.length)) return undefined;
  return Object.fromEntries(values.map((value, index) => [entryColumns[index]!, value])) as unknown as RecordLine;
}

function arrayOf(line: string): unknown[] {
  try {
    const value: unknown = JSON.parse(line);
    return Array.isArray(value) ? value : [];
  } catch {
    return [];
  }
}

function isThere(line: RecordLine): line is EntryRecord {
  return 'type' in line;
}
