import { once } from 'node:events';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { crashPoint } from '../lib/crash-point.ts';
import { Limiter } from '../lib/limiter.ts';
import { tarEnd, tarHeader, tarPadding } from '../lib/tar-writer.ts';

/** Where an archive is written to. */
export interface ArchiveOutput {
  write(bytes: Uint8Array): Promise<void>;
  /** Makes it visible, where it is not yet. */
  commit(): Promise<void>;
  /** Ends it; without `commit` before, nothing is left where that is possible. */
  close(): Promise<void>;
}

/** A file that has its name, in place of what had it before, only when it is complete. */
export async function fileOutput(path: string): Promise<ArchiveOutput> {
  const unfinished = join(dirname(path), `.${basename(path)}.${process.pid}.unfinished`);
  const file = await open(unfinished, 'w');
  return new FileOutput(file, unfinished, path);
}

class FileOutput implements ArchiveOutput {
  readonly #file: FileHandle;
  readonly #unfinished: string;
  readonly #path: string;

  constructor(file: FileHandle, unfinished: string, path: string) {
    this.#file = file;
    this.#unfinished = unfinished;
    this.#path = path;
  }

  async write(bytes: Uint8Array): Promise<void> {
    await this.#file.writeFile(bytes);
  }

  async commit(): Promise<void> {
    await this.#file.sync();
    crashPoint('archive-written');
    await rename(this.#unfinished, this.#path);
  }

  async close(): Promise<void> {
    await this.#file.close();
    await rm(this.#unfinished, { force: true });
  }
}

/** A pipe, say. What lists the images of an archive comes last, so that one that was cut short has none. */
export function streamOutput(stream: NodeJS.WritableStream, signal?: AbortSignal): ArchiveOutput {
  return {
    async write(bytes) {
      signal?.throwIfAborted();
      if (!stream.write(bytes)) await once(stream, 'drain', signal ? { signal } : {});
    },
    commit: async () => {},
    close: async () => {},
  };
}

/** Puts files into a tar archive, one after the other, whoever brings them. */
export class ArchiveWriter {
  readonly #output: ArchiveOutput;
  readonly #oneAtATime = new Limiter(1);

  constructor(output: ArchiveOutput) {
    this.#output = output;
  }

  /** @param content exactly `size` bytes */
  file(path: string, size: number, content: () => AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
    return this.#oneAtATime.run(async () => {
      await this.#output.write(tarHeader({ path, mode: 0o644, size }));
      for await (const chunk of content()) await this.#output.write(chunk);
      await this.#output.write(tarPadding(size));
    });
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
