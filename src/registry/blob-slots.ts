import { Limiter } from '../lib/limiter.ts';

/** How many blobs are received at the same time. @see registry.md 8.5 */
export interface BlobLimits {
  /** From one host. Default 6. */
  readonly perHost?: number;
  /** From all hosts together. Default 16. */
  readonly overall?: number;
}

/** Places for bodies of blobs; who waits for one gives way to whoever waited longer. */
export class BlobSlots {
  readonly #perHost: number;
  readonly #overall: Limiter;
  readonly #hosts = new Map<string, Limiter>();

  constructor({ perHost = 6, overall = 16 }: BlobLimits) {
    this.#perHost = perHost;
    this.#overall = new Limiter(overall);
  }

  /**
   * Waits for a place; call the result when the body has ended. Freed also when the signal is aborted, since the body
   * ends then, read or not.
   */
  async acquire(host: string, signal: AbortSignal | undefined): Promise<() => void> {
    const limiter = this.#hosts.get(host) ?? new Limiter(this.#perHost);
    this.#hosts.set(host, limiter);
    const releaseHost = await limiter.acquire(signal);
    let releaseOverall: () => void;
    try {
      releaseOverall = await this.#overall.acquire(signal);
    } catch (error) {
      releaseHost();
      throw error;
    }
    const release = () => {
      signal?.removeEventListener('abort', release);
      releaseHost();
      releaseOverall();
    };
    signal?.addEventListener('abort', release, { once: true });
    return release;
  }
}
