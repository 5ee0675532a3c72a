import type { Clock } from '../../src/lib/clock.ts';

interface Timer {
  readonly atMs: number;
  readonly fire: () => void;
}

/**
 * A clock that moves only when a test says so. Timers fire in the order of their times, each with the clock at its
 * time, and what follows from one has happened before the next.
 */
export class VirtualClock implements Clock {
  /** Waits until everything that the last timer set going has come to rest; tests with real I/O need more than the default. */
  settle: () => Promise<void> = emptyTaskQueue;
  #nowMs: number;
  #timers: Timer[] = [];
  #sleepers = 0;

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#nowMs = startMs;
  }

  now(): number {
    return this.#nowMs;
  }

  /** How many `sleep` calls are waiting. */
  get sleepers(): number {
    return this.#sleepers;
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason);
      this.#sleepers += 1;
      const onAbort = () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
        this.#sleepers -= 1;
        reject(signal!.reason);
      };
      const timer = this.#add(ms, () => {
        signal?.removeEventListener('abort', onAbort);
        this.#sleepers -= 1;
        resolve();
      });
      signal?.addEventListener('abort', onAbort, { once: true });
    });
  }

  /** Has `action` happen in `ms` milliseconds, without counting as somebody who sleeps. */
  schedule(ms: number, action: () => void): void {
    this.#add(ms, action);
  }

  async advance(ms: number): Promise<void> {
    const untilMs = this.#nowMs + ms;
    await this.settle();
    for (let next = this.#next(untilMs); next; next = this.#next(untilMs)) {
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#nowMs = next.atMs;
      next.fire();
      await this.settle();
    }
    this.#nowMs = untilMs;
  }

  #add(ms: number, fire: () => void): Timer {
    const timer = { atMs: this.#nowMs + Math.max(0, ms), fire };
    this.#timers.push(timer);
    return timer;
  }

  #next(untilMs: number): Timer | undefined {
    return this.#timers.filter(({ atMs }) => atMs <= untilMs).toSorted((a, b) => a.atMs - b.atMs)[0];
  }
}

/** All promise callbacks run before the next turn of the event loop. */
export async function emptyTaskQueue(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
