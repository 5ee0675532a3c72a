import { type FSWatcher, watch } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { debugLog } from '../lib/debug.ts';
import { errorCode, errorMessage } from '../lib/errors.ts';
import { CriLogParser, type LogStream } from './cri-log.ts';

const log = debugLog('agent');

/** How soon a log is looked at again while nothing tells of changes: before it exists, or without inotify. */
const pollMs = 100;
/** With notifications, a look now and then all the same: they can be lost when too many come at once. */
const watchedPollMs = 2000;

/**
 * Follows one container's log file from its first byte and gives its lines. The file may appear later. After the
 * container's end `drain` gives all that it has written: nothing depends on how quickly the file was followed.
 */
export class LogFollower {
  readonly #path: string;
  readonly #parser: CriLogParser;
  readonly #buffer = Buffer.alloc(64 * 1024);
  #file: FileHandle | undefined;
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #reading: Promise<void> = Promise.resolve();
  #readWaits = false;
  #closed = false;

  constructor(path: string, onLine: (stream: LogStream, line: string) => void) {
    this.#path = path;
    this.#parser = new CriLogParser(onLine);
    this.#tick();
  }

  /** Gives everything that is in the file now. */
  async drain(): Promise<void> {
    // One read at a time; a read that is waiting for its turn serves everybody who asks meanwhile.
    if (!this.#readWaits) {
      this.#readWaits = true;
      this.#reading = this.#reading.then(() => {
        this.#readWaits = false;
        return this.#read();
      });
    }
    await this.#reading;
  }

  /** Drains, gives an unfinished line as it is, and lets go of the file. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#watcher?.close();
    await this.drain();
    this.#parser.end();
    await this.#file?.close();
    this.#file = undefined;
  }

  async #tick(): Promise<void> {
    await this.drain();
    if (this.#closed) return;
    this.#timer = setTimeout(() => void this.#tick(), this.#watcher ? watchedPollMs : pollMs);
    this.#timer.unref();
  }

  async #read(): Promise<void> {
    try {
      if (!this.#file) {
        this.#file = await open(this.#path, 'r');
        if (!this.#closed) this.#watch();
      }
      for (;;) {
        const { bytesRead } = await this.#file.read(this.#buffer, 0, this.#buffer.length);
        if (bytesRead === 0) return;
        this.#parser.push(this.#buffer.subarray(0, bytesRead));
      }
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') log('cannot read %s: %s', this.#path, errorMessage(error));
    }
  }

  #watch(): void {
    try {
      this.#watcher = watch(this.#path, { persistent: false }, () => void this.drain());
      this.#watcher.on('error', () => {
        this.#watcher?.close();
        this.#watcher = undefined;
      });
    } catch (error) {
      log('no notifications for %s: %s', this.#path, errorMessage(error));
    }
  }
}
