import { Limiter } from '../lib/limiter.ts';
import type { CallOptions } from './requester.ts';

/** How many blobs are received at the same time. @see registry.md 8.5 */
export interface BlobLimits {
  /** From one host. Default 6. */
  readonly perHost?: number | undefined;
  /** From all hosts together. Default 16. */
  readonly overall?: number | undefined;
  /**
   * Parts of one large blob, of 8 MiB each in memory, where its host is slow and connections are free. Default 4; 1 always
   * fetches a blob in one stream.
   */
  readonly perBlob?: number | undefined;
}

/** Places for bodies of blobs; who waits for one gives way to whoever waited longer. */
export class BlobSlots {
  readonly perBlob: number;
  readonly #perHost: number;
  readonly #overall: Limiter;
  readonly #hosts = new Map<string, Limiter>();

  constructor({ perHost = 6, overall = 16, perBlob = 4 }: BlobLimits) {
    this.perBlob = perBlob;
    this.#perHost = perHost;
    this.#overall = new Limiter(overall);
  }

  /** How many bodies of a host are being received. */
  inUse(host: string): number {
    return this.#limiterOf(host).inUse;
  }

  /** A place if one is free and nobody waits for it; call the result when the body has ended. */
  tryAcquire(host: string): (() => void) | undefined {
    const releaseHost = this.#limiterOf(host).tryAcquire();
    const releaseOverall = releaseHost && this.#overall.tryAcquire();
    if (!releaseOverall) {
      releaseHost?.();
      return undefined;
    }
    return () => {
      releaseHost();
      releaseOverall();
    };
  }

  /**
   * Waits for a place; call the result when the body has ended. Freed also when the signal is aborted, since the body
   * ends then, read or not.
   */
  async acquire(host: string, { signal, watch }: CallOptions): Promise<() => void> {
    const releaseHost = await this.#limiterOf(host).acquire(signal);
    let releaseOverall: () => void;
    try {
      releaseOverall = await this.#overall.acquire(signal);
    } catch (error) {
      releaseHost();
      throw error;
    }
    const answered = watch?.asking();
    const release = () => {
      signal?.removeEventListener('abort', release);
      releaseHost();
      releaseOverall();
      answered?.();
    };
    signal?.addEventListener('abort', release, { once: true });
    return release;
  }

  #limiterOf(host: string): Limiter {
    const limiter = this.#hosts.get(host) ?? new Limiter(this.#perHost);
    this.#hosts.set(host, limiter);
    return limiter;
  }
}
