import { createWriteStream, openSync, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { type AccessRecord, combinedLogLine } from '../distribution/index.ts';
import { errorMessage, LadingError } from '../lib/errors.ts';

/** A file with one line for each request, which others may move away: `reopen` then makes a new one. */
export class AccessLog {
  readonly #path: string;
  readonly #warn: (text: string) => void;
  #stream: WriteStream;

  /** @throws LadingError `ERR_LADING_FILE_UNWRITABLE` */
  constructor(path: string, options: { warn: (text: string) => void }) {
    this.#path = path;
    this.#warn = options.warn;
    try {
      this.#stream = this.#open();
    } catch (error) {
      throw new LadingError('ERR_LADING_FILE_UNWRITABLE', `cannot write the access log: ${errorMessage(error)}`, {
        hint: 'Give the path of a file in a folder that you may write to.',
        cause: error,
      });
    }
  }

  add(record: AccessRecord): void {
    if (this.#stream.writable) this.#stream.write(`${combinedLogLine(record, new Date())}\n`);
  }

  /** If that fails, the lines go on to where they went. */
  reopen(): void {
    try {
      const before = this.#stream;
      this.#stream = this.#open();
      before.end();
    } catch (error) {
      this.#complain(error);
    }
  }

  /** Waits until everything is written. */
  async close(): Promise<void> {
    this.#stream.end();
    await finished(this.#stream).catch(() => undefined);
  }

  #open(): WriteStream {
    const stream = createWriteStream(this.#path, { fd: openSync(this.#path, 'a') });
    return stream.once('error', (error) => this.#complain(error));
  }

  #complain(error: unknown): void {
    this.#warn(`the access log cannot be written: ${errorMessage(error)}`);
  }
}
