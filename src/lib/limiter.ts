/** At most `limit` tasks at a time; the others wait in order of arrival. */
export class Limiter {
  readonly #limit: number;
  #running = 0;
  readonly #waiting = new Set<() => void>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Tasks that have begun and not ended. */
  get inUse(): number {
    return this.#running;
  }

  async run<T>(task: () => Promise<T>): Promise<T> {
    const release = await this.acquire();
    try {
      return await task();
    } finally {
      release();
    }
  }

  /**
   * For work that ends elsewhere than it begins: waits for its turn; call the result when the work is done.
   * @throws the signal's reason when it is aborted before its turn has come
   */
  async acquire(signal?: AbortSignal): Promise<() => void> {
    signal?.throwIfAborted();
    if (this.#running >= this.#limit) await this.#turn(signal);
    else this.#running += 1;
    return this.#release();
  }

  /** The same if it is its turn now; undefined otherwise. */
  tryAcquire(): (() => void) | undefined {
    if (this.#running >= this.#limit) return undefined;
    this.#running += 1;
    return this.#release();
  }

  #release(): () => void {
    let released = false;
    return () => {
      if (released) return;
      released = true;
      const next = this.#waiting.values().next().value;
      if (next) next();
      else this.#running -= 1;
    };
  }

  #turn(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const end = () => {
        this.#waiting.delete(begin);
        signal?.removeEventListener('abort', giveUp);
      };
      const begin = () => {
        end();
        resolve();
      };
      const giveUp = () => {
        end();
        reject(signal?.reason);
      };
      this.#waiting.add(begin);
      signal?.addEventListener('abort', giveUp, { once: true });
    });
  }
}
