import { once } from 'node:events';
import { type FileHandle, open, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { isatty } from 'node:tty';
import { crashPoint } from '../lib/crash-point.ts';
import { errorCode, errorMessage, LadingError } from '../lib/errors.ts';
import { Limiter } from '../lib/limiter.ts';
import { tarEnd, tarHeader, tarPadding } from '../lib/tar-writer.ts';
import { diskError } from '../store/disk.ts';

/** Where an archive is written to. */
export interface ArchiveOutput {
  /** Bytes that were written are with the kernel, and their memory is not used any more. */
  readonly isUnbuffered: boolean;
  write(bytes: Uint8Array): Promise<void>;
  /** Takes back all but the first `size` bytes; undefined where that cannot be done. */
  readonly truncate?: (size: number) => Promise<void>;
  /** Makes it visible, where it is not yet. */
  commit(): Promise<void>;
  /** Ends it; without `commit` before, nothing is left where that is possible. */
  close(): Promise<void>;
}

/**
 * A file that has its name, in place of what had it before, only when it is complete. A device or a pipe is written to
 * as it is.
 * @throws LadingError `ERR_LADING_FILE_UNWRITABLE`
 */
export async function fileOutput(path: string): Promise<ArchiveOutput> {
  try {
    const target = await realpath(path).catch(() => path);
    const found = await stat(target).catch(() => undefined);
    if (found && !found.isFile()) return await deviceOutput(target);
    const unfinished = join(dirname(target), `.${basename(target)}.${process.pid}.unfinished`);
    return new FileOutput(await open(unfinished, 'w'), unfinished, target);
  } catch (error) {
    throw unwritable(path, error);
  }
}

function unwritable(path: string, cause: unknown): LadingError {
  const reasons = { ENOENT: 'there is no such folder', EISDIR: 'it is a folder', EACCES: 'permission denied' };
  const known = reasons[errorCode(cause) as keyof typeof reasons];
  return new LadingError('ERR_LADING_FILE_UNWRITABLE', `cannot write ${path}: ${known ?? errorMessage(cause)}`, {
    hint: 'Give the path of a file in a folder that you may write to.',
    cause,
  });
}

async function deviceOutput(path: string): Promise<ArchiveOutput> {
  const file = await open(path, 'w');
  if (!isatty(file.fd)) return new DeviceOutput(file, path);
  await file.close();
  throw new Error('it is a terminal');
}

class DeviceOutput implements ArchiveOutput {
  readonly isUnbuffered = true;
  readonly #file: FileHandle;
  readonly #path: string;

  constructor(file: FileHandle, path: string) {
    this.#file = file;
    this.#path = path;
  }

  /** @throws EPIPE as it is, for a pipe that nobody reads any more */
  async write(bytes: Uint8Array): Promise<void> {
    await this.#file.writeFile(bytes).catch((error: unknown) => {
      throw errorCode(error) === 'EPIPE' ? error : unwritable(this.#path, error);
    });
  }

  async commit(): Promise<void> {}

  async close(): Promise<void> {
    await this.#file.close();
  }
}

class FileOutput implements ArchiveOutput {
  readonly isUnbuffered = true;
  readonly #file: FileHandle;
  readonly #unfinished: string;
  readonly #path: string;
  #size = 0;

  constructor(file: FileHandle, unfinished: string, path: string) {
    this.#file = file;
    this.#unfinished = unfinished;
    this.#path = path;
  }

  async write(bytes: Uint8Array): Promise<void> {
    try {
      for (let written = 0; written < bytes.byteLength; ) {
        const { bytesWritten } = await this.#file.write(bytes, written, bytes.byteLength - written, this.#size);
        written += bytesWritten;
        this.#size += bytesWritten;
      }
    } catch (error) {
      throw this.#named(error);
    }
  }

  async truncate(size: number): Promise<void> {
    await this.#file.truncate(size);
    this.#size = size;
  }

  async commit(): Promise<void> {
    await this.#file.sync().catch((error: unknown) => {
      throw this.#named(error);
    });
    crashPoint('archive-written');
    await rename(this.#unfinished, this.#path);
  }

  async close(): Promise<void> {
    await this.#file.close();
    await rm(this.#unfinished, { force: true });
  }

  #named(error: unknown): unknown {
    return diskError(error, `write ${this.#path}`, dirname(this.#path));
  }
}

/** A pipe, say. What lists the images of an archive comes last, so that one that was cut short has none. */
export function streamOutput(stream: NodeJS.WritableStream, signal?: AbortSignal): ArchiveOutput {
  return {
    isUnbuffered: false,
    async write(bytes) {
      signal?.throwIfAborted();
      if (!stream.write(bytes)) await once(stream, 'drain', signal ? { signal } : {});
    },
    commit: async () => {},
    close: async () => {},
  };
}

export type Content = () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Puts files into a tar archive, one after the other, whoever brings them. */
export class ArchiveWriter {
  readonly #output: ArchiveOutput;
  readonly #oneAtATime = new Limiter(1);
  /** Bytes of whole entries. */
  #size = 0;
  /** Why an entry is not whole, and nothing can follow it. */
  #broken: unknown;

  constructor(output: ArchiveOutput) {
    this.#output = output;
  }

  /**
   * Where that is possible, nothing is left of an entry that fails; elsewhere all that follow fail as it did.
   * @param content exactly `size` bytes
   * @param free told of each chunk that nobody uses any more, as far as that can be known
   */
  file(path: string, size: number, content: Content, free: (chunk: Uint8Array) => void = () => {}): Promise<void> {
    return this.#oneAtATime.run(async () => {
      if (this.#broken !== undefined) throw this.#broken;
      try {
        this.#size += await this.#writeEntry(path, size, content, free);
      } catch (error) {
        if (this.#output.truncate) await this.#output.truncate(this.#size);
        else this.#broken = error;
        throw error;
      }
    });
  }

  async #writeEntry(path: string, size: number, content: Content, free: (chunk: Uint8Array) => void): Promise<number> {
    const [header, padding] = [tarHeader({ path, mode: 0o644, size }), tarPadding(size)];
    await this.#output.write(header);
    for await (const chunk of content()) {
      await this.#output.write(chunk);
      if (this.#output.isUnbuffered) free(chunk);
    }
    await this.#output.write(padding);
    return header.byteLength + size + padding.byteLength;
  }

  json(path: string, document: unknown): Promise<void> {
    const bytes = Buffer.from(JSON.stringify(document));
    return this.file(path, bytes.byteLength, () => [bytes]);
  }

  async commit(): Promise<void> {
    await this.#output.write(tarEnd);
    await this.#output.commit();
  }

  close(): Promise<void> {
    return this.#output.close();
  }
}
