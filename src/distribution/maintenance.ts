import { maxTimerMs } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { collectGarbage, type GarbageReport } from './garbage.ts';
import type { OwnStorage } from './own-storage.ts';
import type { UploadSessions } from './upload-sessions.ts';

const debug = debugLog('distribution');
const expiryCheckMs = 60 * 60 * 1000;

export interface GarbageSchedule {
  /** Time between two collections; at least every 24 days there is one. */
  readonly everyMs: number;
  /** See `GarbageOptions`. */
  readonly graceMs?: number | undefined;
}

export interface MaintenanceOptions {
  /** Without it no content is ever removed by itself. */
  readonly garbage?: GarbageSchedule | undefined;
  readonly onGarbage: (outcome: GarbageReport | 'failed') => void;
}

/** What a registry does by itself while it serves: lets old uploads expire and, if it is told to, collects garbage. */
export class Maintenance {
  readonly #timers: NodeJS.Timeout[];
  /** One thing at a time. */
  #last: Promise<void> = Promise.resolve();

  constructor(storage: OwnStorage, sessions: UploadSessions, { garbage, onGarbage }: MaintenanceOptions) {
    const expire = () => this.#next('expire uploads', () => sessions.expire(Date.now()));
    const collect = (graceMs: number | undefined) =>
      this.#next('collect garbage', async () => {
        try {
          onGarbage(await collectGarbage(storage, sessions, { graceMs }));
        } catch (error) {
          onGarbage('failed');
          throw error;
        }
      });
    expire();
    this.#timers = [setInterval(expire, expiryCheckMs)];
    if (garbage) {
      this.#timers.push(setInterval(() => collect(garbage.graceMs), Math.min(garbage.everyMs, maxTimerMs)));
    }
    for (const timer of this.#timers) timer.unref();
  }

  /** Waits for what is under way. */
  async close(): Promise<void> {
    for (const timer of this.#timers) clearInterval(timer);
    await this.#last;
  }

  #next(what: string, work: () => Promise<unknown>): void {
    this.#last = this.#last.then(work).then(
      () => undefined,
      (error: unknown) => debug('%s: %s', what, error),
    );
  }
}
