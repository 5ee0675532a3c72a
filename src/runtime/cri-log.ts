import { type FileHandle, open } from 'node:fs/promises';
import { debugLog } from '../lib/debug.ts';
import { LogClock } from './log-clock.ts';

/**
 * Writes a container's output in the CRI's log format, one record per line:
 * `2024-05-01T10:00:00.123456789Z stdout F text`, tag `F` for a whole line, `P` for a part of one that goes on (or that
 * the output ended in). Readers join parts until `F`, so that they get back exactly the bytes of the process.
 */

const log = debugLog('runtime');
/** As containerd: `kubectl logs` reads records up to this size whatever the runtime. */
const maxPartBytes = 16 * 1024;
const newline = 0x0a;

export type OutputStream = 'stdout' | 'stderr';

export class CriLog {
  readonly #file: FileHandle;
  readonly #clock = new LogClock();
  #broken = false;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Appends to the file, which is made if it is not there; its directory must be. */
  static async open(path: string): Promise<CriLog> {
    return new CriLog(await open(path, 'a', 0o640));
  }

  /**
   * Writes all of `output`; resolves when it has ended. A log that cannot be written (a full disk) does not stop the
   * container: its output is read on and dropped.
   */
  async copy(stream: OutputStream, output: AsyncIterable<Buffer>): Promise<void> {
    const lines = new LineSplitter(stream, this.#clock);
    for await (const chunk of output) await this.#write(lines.add(chunk));
    await this.#write(lines.end());
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #write(records: Buffer): Promise<void> {
    if (records.byteLength === 0 || this.#broken) return;
    try {
      await this.#file.appendFile(records);
    } catch (error) {
      this.#broken = true;
      log('the container log cannot be written, its output is dropped from here on: %s', error);
    }
  }
}

/** Cuts one stream of bytes into records. */
class LineSplitter {
  readonly #stream: OutputStream;
  readonly #clock: LogClock;
  #rest: Buffer = Buffer.alloc(0);

  constructor(stream: OutputStream, clock: LogClock) {
    this.#stream = stream;
    this.#clock = clock;
  }

  /** The records that are complete with this chunk. */
  add(chunk: Buffer): Buffer {
    const bytes = this.#rest.byteLength === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    const time = this.#clock.now();
    const records: Buffer[] = [];
    let start = 0;
    for (;;) {
      const end = bytes.indexOf(newline, start);
      const stop = end === -1 ? bytes.byteLength : end;
      // A line of exactly the limit waits for its newline: it is whole, not a part.
      for (; stop - start > maxPartBytes; start += maxPartBytes) {
        this.#push(records, time, 'P', bytes.subarray(start, start + maxPartBytes));
      }
      if (end === -1) break;
      this.#push(records, time, 'F', bytes.subarray(start, end));
      start = end + 1;
    }
    this.#rest = Buffer.from(bytes.subarray(start));
    return Buffer.concat(records);
  }

  /** What was left without a newline. */
  end(): Buffer {
    const records: Buffer[] = [];
    if (this.#rest.byteLength > 0) this.#push(records, this.#clock.now(), 'P', this.#rest);
    this.#rest = Buffer.alloc(0);
    return Buffer.concat(records);
  }

  #push(records: Buffer[], time: string, tag: 'F' | 'P', text: Buffer): void {
    records.push(Buffer.from(`${time} ${this.#stream} ${tag} `), text, lineEnd);
  }
}

const lineEnd = Buffer.from('\n');
