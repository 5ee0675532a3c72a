import { setTimeout as delay } from 'node:timers/promises';

/** The longest that a timer of Node.js counts, 24.8 days: one that is to take longer goes off after a millisecond. */
export const maxTimerMs = 2 ** 31 - 1;

/** Time as an argument, so that tests can turn it. */
export interface Clock {
  /** Milliseconds since 1970. */
  now(): number;
  /** Rejects with the signal's reason when it is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  now: () => Date.now(),
  sleep: async (ms, signal) => {
    signal?.throwIfAborted();
    try {
      await delay(ms, undefined, signal ? { signal } : {});
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    }
  },
};
