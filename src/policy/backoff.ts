/** Delays of the kubelet for failing pulls: constants there, and not configurable. @see pull-policy.md 6 */
export const imagePullBackOff = { initialMs: 10_000, maxMs: 300_000 } as const;

export interface BackoffOptions {
  readonly initialMs: number;
  readonly maxMs: number;
  /** After which time since its last update an entry counts as gone; by default more than twice `maxMs`. */
  readonly expiry?: { readonly moreThanMs: number } | { readonly atLeastMs: number };
}

interface Entry {
  readonly delayMs: number;
  readonly updatedMs: number;
}

/**
 * A delay per key that doubles with every failure. It has no clock: times are arguments, in milliseconds since any
 * fixed moment. Nothing but `reset` and `gc` removes entries; in particular no success does.
 * @see pull-policy.md 6
 */
export class Backoff {
  readonly #initialMs: number;
  readonly #maxMs: number;
  readonly #isExpiredAge: (ageMs: number) => boolean;
  readonly #entries = new Map<string, Entry>();

  constructor({ initialMs, maxMs, expiry = { moreThanMs: 2 * maxMs } }: BackoffOptions) {
    this.#initialMs = initialMs;
    this.#maxMs = maxMs;
    this.#isExpiredAge =
      'moreThanMs' in expiry ? (ageMs) => ageMs > expiry.moreThanMs : (ageMs) => ageMs >= expiry.atLeastMs;
  }

  /** Notes a failure: the delay of `key` begins, or doubles. `eventMs` is when it failed, `atMs` is now. */
  next(key: string, atMs: number, eventMs = atMs): void {
    const entry = this.#alive(key, eventMs);
    const delayMs = entry ? Math.min(entry.delayMs * 2, this.#maxMs) : this.#initialMs;
    this.#entries.set(key, { delayMs, updatedMs: atMs });
  }

  /** The delay of `key` in milliseconds, also of an expired entry; 0 when there is none. */
  get(key: string): number {
    return this.#entries.get(key)?.delayMs ?? 0;
  }

  has(key: string): boolean {
    return this.#entries.has(key);
  }

  /** Whether the delay, counted from `eventMs`, is still running. */
  isInBackOff(key: string, atMs: number, eventMs: number): boolean {
    const entry = this.#alive(key, eventMs);
    return entry !== undefined && atMs - eventMs < entry.delayMs;
  }

  /** Whether the delay, counted from the last `next`, is still running. The end of the delay is no longer in it. */
  isInBackOffSinceUpdate(key: string, atMs: number): boolean {
    const entry = this.#alive(key, atMs);
    return entry !== undefined && atMs - entry.updatedMs < entry.delayMs;
  }

  /** The keys with a beginning whose delay, counted from the last `next`, is running: how many milliseconds are left. */
  running(prefix: string, atMs: number): ReadonlyMap<string, number> {
    const left = new Map<string, number>();
    for (const [key, { delayMs, updatedMs }] of this.#entries) {
      if (key.startsWith(prefix) && this.isInBackOffSinceUpdate(key, atMs)) left.set(key, delayMs - (atMs - updatedMs));
    }
    return left;
  }

  reset(key: string): void {
    this.#entries.delete(key);
  }

  /** Drops expired entries. */
  gc(atMs: number): void {
    for (const key of this.#entries.keys()) if (!this.#alive(key, atMs)) this.#entries.delete(key);
  }

  #alive(key: string, atMs: number): Entry | undefined {
    const entry = this.#entries.get(key);
    return entry && !this.#isExpiredAge(atMs - entry.updatedMs) ? entry : undefined;
  }
}

/** Containers of one pod that use the same text share a delay; `app` and `app:latest` do not. */
export function imagePullKey(podUid: string, image: string): string {
  return `${podUid}_${image}`;
}
