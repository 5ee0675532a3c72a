/** How far the two clocks may be apart before the wall clock is taken anew: more than a millisecond's rounding. */
const maxDriftNs = 2_000_000n;

/**
 * RFC 3339 timestamps with nanoseconds. Node's wall clock has milliseconds; the rest comes from the monotonic clock,
 * which is set anew whenever the wall clock is moved.
 */
export class LogClock {
  #offsetNs = 0n;
  #second = -1n;
  #prefix = '';

  /** `2024-05-01T10:00:00.123456789Z` */
  now(): string {
    const monotonicNs = process.hrtime.bigint();
    const wallNs = BigInt(Date.now()) * 1_000_000n;
    const driftNs = monotonicNs + this.#offsetNs - wallNs;
    if (driftNs > maxDriftNs || driftNs < -maxDriftNs) this.#offsetNs = wallNs - monotonicNs;
    const nowNs = monotonicNs + this.#offsetNs;
    const second = nowNs / 1_000_000_000n;
    if (second !== this.#second) {
      this.#second = second;
      this.#prefix = new Date(Number(second) * 1000).toISOString().slice(0, 19);
    }
    return `${this.#prefix}.${String(nowNs % 1_000_000_000n).padStart(9, '0')}Z`;
  }
}
