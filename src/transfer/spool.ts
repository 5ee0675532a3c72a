import { randomUUID } from 'node:crypto';
import { type FileHandle, open, unlink } from 'node:fs/promises';
import { join } from 'node:path';

const readBytes = 256 * 1024;

/** A file without a name: it is gone with the process, however that ends. */
export class Spool {
  readonly #file: FileHandle;
  #size = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(folder: string): Promise<Spool> {
    const path = join(folder, `.lading-${randomUUID()}`);
    const file = await open(path, 'wx+', 0o600);
    await unlink(path);
    return new Spool(file);
  }

  get size(): number {
    return this.#size;
  }

  async append(bytes: Uint8Array): Promise<void> {
    for (let written = 0; written < bytes.byteLength; ) {
      const { bytesWritten } = await this.#file.write(bytes, written, bytes.byteLength - written, this.#size);
      written += bytesWritten;
      this.#size += bytesWritten;
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
