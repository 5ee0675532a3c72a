import { randomUUID } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { diskError, requireSpace } from '../store/disk.ts';

const readBytes = 256 * 1024;
/** How much is written before the free space is looked at again. */
const checkedBytes = 64 * 1024 * 1024;
/** What a spool leaves free: an archive that unpacks to no end must not fill the disk. */
const reservedBytes = 128 * 1024 * 1024;
const purpose = 'keep what an archive unpacks to';

/** A file without a name: it is gone with the process, however that ends. */
export class Spool {
  readonly #file: FileHandle;
  readonly #folder: string;
  #size = 0;
  #checkAt = 0;

  private constructor(file: FileHandle, folder: string) {
    this.#file = file;
    this.#folder = folder;
  }

  static async open(folder: string): Promise<Spool> {
    const path = join(folder, `.lading-${randomUUID()}`);
    const file = await open(path, 'wx+', 0o600);
    await unlink(path);
    return new Spool(file, folder);
  }

  get size(): number {
    return this.#size;
  }

  /** @throws LadingError `ERR_LADING_DISK_FULL` */
  async append(bytes: Uint8Array): Promise<void> {
    if (this.#size >= this.#checkAt) {
      this.#checkAt = this.#size + checkedBytes;
      requireSpace(this.#folder, checkedBytes + reservedBytes, purpose);
    }
    try {
      for (let written = 0; written < bytes.byteLength; ) {
        const { bytesWritten } = await this.#file.write(bytes, written, bytes.byteLength - written, this.#size);
        written += bytesWritten;
        this.#size += bytesWritten;
      }
    } catch (error) {
      throw diskError(error, purpose, this.#folder);
    }
  }

  read(start: number, size: number): AsyncIterable<Uint8Array> {
    return readRange(this.#file, start, size);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/** Part of a file; several readers may read at the same time. Ends early where the file does. */
export async function* readRange(file: FileHandle, start: number, size: number): AsyncIterable<Uint8Array> {
  for (let position = start; position < start + size; ) {
    const buffer = Buffer.allocUnsafe(Math.min(readBytes, start + size - position));
    const { bytesRead } = await file.read(buffer, 0, buffer.byteLength, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    yield buffer.subarray(0, bytesRead);
  }
}
