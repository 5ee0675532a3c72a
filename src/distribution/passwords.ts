import { Worker } from 'node:worker_threads';
import { debugLog } from '../lib/debug.ts';
import { programModule } from '../lib/program-module.ts';
import { Refusal } from './errors.ts';

const debug = debugLog('distribution');

export interface Comparison {
  readonly id: number;
  readonly password: string;
  /** bcrypt. */
  readonly hash: string;
}

export interface Verdict {
  readonly id: number;
  readonly matches: boolean;
}

/** Who guesses passwords waits behind the others who do; more than these are sent away. */
const maxWaiting = 100;

/**
 * Checks passwords in a worker thread: one comparison takes a tenth of a second on purpose, during which the server
 * would answer nobody. The thread starts with the first one.
 */
export class Passwords {
  readonly #waiting = new Map<number, (matches: boolean) => void>();
  #worker: Worker | undefined;
  #lastId = 0;

  /** @throws Refusal `TOOMANYREQUESTS` if too many are being checked */
  async matches(password: string, hash: string): Promise<boolean> {
    if (this.#waiting.size >= maxWaiting) {
      const error = { code: 'TOOMANYREQUESTS', message: 'too many logins are being checked' } as const;
      throw new Refusal(429, error, { 'Retry-After': '5' });
    }
    this.#worker ??= this.#start();
    const worker = this.#worker;
    this.#lastId += 1;
    const id = this.#lastId;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      worker.postMessage({ id, password, hash } satisfies Comparison);
    });
  }

  async close(): Promise<void> {
    await this.#worker?.terminate();
  }

  #start(): Worker {
    const worker = new Worker(programModule('distribution/password-worker'));
    worker.unref();
    worker.on('message', ({ id, matches }: Verdict) => this.#settle(id, matches));
    // Nobody gets in while nobody can be checked; the next one starts another thread.
    worker.once('exit', () => {
      this.#worker = undefined;
      for (const id of [...this.#waiting.keys()]) this.#settle(id, false);
    });
    worker.once('error', (error) => debug('passwords cannot be checked: %s', error));
    return worker;
  }

  #settle(id: number, matches: boolean): void {
    this.#waiting.get(id)?.(matches);
    this.#waiting.delete(id);
  }
}
