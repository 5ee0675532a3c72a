import type { Clock } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { type HttpResponse, headerOf } from './transport.ts';
import { TransportFault } from './transport-fault.ts';

const log = debugLog('registry');

/** How often and how long to try. @see registry.md 8.5 */
export interface RetryOptions {
  /** How often one request is sent at most. Default 5. */
  readonly attempts?: number;
  /** The upper limit of the first delay; it doubles with each attempt. Default 500. */
  readonly initialMs?: number;
  /** The upper limit of any delay. Default 30 000. */
  readonly maxMs?: number;
}

export const defaultRetry: Required<RetryOptions> = { attempts: 5, initialMs: 500, maxMs: 30_000 };

/** A registry that asks for a longer pause has refused: the caller should not sit and wait. */
export const maxRetryAfterMs = 60_000;

/** Statuses that say "not now". 499 and 522 come from proxies. */
const retryableStatuses = new Set([408, 429, 499, 500, 502, 503, 504, 522]);

export function isRetryableStatus(status: number): boolean {
  return retryableStatuses.has(status);
}

/** Full jitter: anything up to the doubled limit, so that clients which failed together do not come back together. */
export function backoffMs(attempt: number, retry: Required<RetryOptions>, random: () => number): number {
  return random() * Math.min(retry.maxMs, retry.initialMs * 2 ** (attempt - 1));
}

/** `Retry-After` in milliseconds from `now` on: seconds or an HTTP date; undefined when absent or unreadable. */
export function retryAfterMs(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d+$/.test(header.trim())) return Number(header) * 1000;
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}

/** A pause that all requests to one endpoint keep together. @see registry.md 9.2 */
export class Pause {
  readonly #clock: Clock;
  readonly #until = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  isOn(host: string): boolean {
    return (this.#until.get(host) ?? 0) > this.#clock.now();
  }

  extend(host: string, ms: number): void {
    this.#until.set(host, Math.max(this.#until.get(host) ?? 0, this.#clock.now() + ms));
  }

  async wait(host: string, signal?: AbortSignal): Promise<void> {
    for (;;) {
      const rest = (this.#until.get(host) ?? 0) - this.#clock.now();
      if (rest <= 0) return;
      await this.#clock.sleep(rest, signal);
    }
  }
}

export interface RetrierOptions {
  readonly clock: Clock;
  readonly random: () => number;
  readonly retry: Required<RetryOptions>;
}

export interface RetriedRequest {
  /** Who is asked, and pauses when it says so. */
  readonly host: string;
  /** Less than the options say. */
  readonly attempts?: number | undefined;
  /** Whether sending it twice does no more than sending it once. */
  readonly repeatable: boolean;
  readonly signal: AbortSignal | undefined;
}

/** Repeats requests that failed for a reason that passes, with growing pauses. @see registry.md 8.5, 9.2 */
export class Retrier {
  readonly #options: RetrierOptions;
  readonly #pause: Pause;

  constructor(options: RetrierOptions) {
    this.#options = options;
    this.#pause = new Pause(options.clock);
  }

  get attempts(): number {
    return this.#options.retry.attempts;
  }

  /** The first answer that is final: any status that is not worth a repetition, or the last one. */
  async run<T extends HttpResponse>(request: RetriedRequest, send: () => Promise<T>): Promise<T> {
    const { host, repeatable, signal } = request;
    const attempts = repeatable ? Math.min(request.attempts ?? Infinity, this.#options.retry.attempts) : 1;
    let resetIsFree = repeatable && this.#options.retry.attempts > 1; // a kept-alive connection may have ended just when it was used
    for (let attempt = 1; ; attempt += 1) {
      await this.#pause.wait(host, signal);
      let askedMs = 0;
      try {
        const response = await send();
        if (!isRetryableStatus(response.status)) return response;
        askedMs = this.retryAfterMs(response) ?? 0;
        if (askedMs > maxRetryAfterMs) return response;
        this.#pause.extend(host, askedMs);
        if (attempt >= attempts) return response;
        log('%s answered %d to attempt %d of %d', host, response.status, attempt, attempts);
      } catch (error) {
        if (!(error instanceof TransportFault) || !error.retryable) throw error;
        if (error.kind === 'reset' && resetIsFree) {
          resetIsFree = false;
          attempt -= 1;
          continue;
        }
        if (attempt >= attempts) throw error;
        log('%s: %s, attempt %d of %d', host, error.message, attempt, attempts);
      }
      // What is asked for may be no time at all, also because its clock and ours differ.
      const backoffMs = this.backoffMs(attempt);
      if (askedMs < backoffMs) await this.#options.clock.sleep(backoffMs, signal);
    }
  }

  /** What the answer asks for; only 429 and 503 can. */
  retryAfterMs(response: Pick<HttpResponse, 'status' | 'headers'>): number | undefined {
    if (response.status !== 429 && response.status !== 503) return undefined;
    return retryAfterMs(headerOf(response, 'retry-after'), this.#options.clock.now());
  }

  /** Whether a host asked not to be asked for now. */
  pauses(host: string): boolean {
    return this.#pause.isOn(host);
  }

  backoffMs(attempt: number): number {
    return backoffMs(attempt, this.#options.retry, this.#options.random);
  }

  sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
    return this.#options.clock.sleep(ms, signal);
  }
}
