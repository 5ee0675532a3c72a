/**
 * Permits at a steady rate with a burst, asked without waiting: the kubelet's guard against too many pulls.
 * `perSecond` 0 permits everything; a `burst` of 0 with a positive rate permits nothing.
 */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #updatedMs: number | undefined;

  constructor({ perSecond, burst }: { perSecond: number; burst: number }) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
  }

  /** Takes a token if there is one at `atMs`; times must not go backwards. */
  tryTake(atMs: number): boolean {
    if (this.#perSecond === 0) return true;
    const elapsedSeconds = Math.max(0, atMs - (this.#updatedMs ?? atMs)) / 1000;
    this.#tokens = Math.min(this.#burst, this.#tokens + elapsedSeconds * this.#perSecond);
    this.#updatedMs = atMs;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
