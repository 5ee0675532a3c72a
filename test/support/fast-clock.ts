import type { Clock } from '../../src/lib/clock.ts';

/** A clock that passes only while somebody sleeps on it, and then at once. */
export class FastClock implements Clock {
  /** Each sleep, in milliseconds. */
  readonly slept: number[] = [];
  #now = Date.parse('2026-01-01T00:00:00Z');

  now(): number {
    return this.#now;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.slept.push(ms);
    this.#now += ms;
  }

  advance(ms: number): void {
    this.#now += ms;
  }
}
