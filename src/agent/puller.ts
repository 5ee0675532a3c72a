import type { AuthConfig, PodSandboxConfig } from '../cri/messages.ts';
import type { ImageService } from '../cri/services.ts';
import { unlessAborted } from '../lib/abort.ts';
import type { Clock } from '../lib/clock.ts';
import { Limiter } from '../lib/limiter.ts';
import type { PodCredential } from './pod-credentials.ts';
import { TokenBucket } from './token-bucket.ts';
import { withCredentials } from './with-credentials.ts';

/** The kubelet's settings for pulls and their defaults. @see pull-policy.md 7 and 13 */
export interface PullerOptions {
  /** 1 is `serializeImagePulls`; less than 1 does not limit. */
  readonly maxParallelPulls?: number;
  /** `registryPullQPS`: pulls per second in the long run; 0 does not limit. */
  readonly pullsPerSecond?: number;
  /** `registryBurst`: pulls at once. */
  readonly pullBurst?: number;
}

export interface PulledImage {
  /** The image's id. */
  readonly imageRef: string;
  /** From the call to the end of the size query, waiting excluded, in milliseconds. */
  readonly durationMs: number;
  /** 0 when the runtime cannot say. */
  readonly sizeBytes: number;
  /** With which it was pulled; undefined when it was pulled without any. */
  readonly credential: PodCredential | undefined;
}

interface PullOptions {
  readonly sandboxConfig?: PodSandboxConfig | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Hands pulls to the runtime, by default one at a time in order of arrival. It does not merge equal pulls and does not
 * look again whether an image has arrived meanwhile, as the kubelet does neither.
 */
export class Puller {
  readonly #images: ImageService;
  readonly #clock: Clock;
  readonly #slots: Limiter;
  readonly #permits: TokenBucket;

  constructor(images: ImageService, clock: Clock, options: PullerOptions = {}) {
    const { maxParallelPulls = 1, pullsPerSecond = 5, pullBurst = 10 } = options;
    this.#images = images;
    this.#clock = clock;
    this.#slots = new Limiter(maxParallelPulls < 1 ? Number.POSITIVE_INFINITY : maxParallelPulls);
    this.#permits = new TokenBucket({ perSecond: pullsPerSecond, burst: pullBurst });
  }

  /**
   * @param image with its tag, as the runtime needs it
   * @param credentials tried in order until one works; without any the pull is anonymous, with some it never is
   * @throws what the runtime throws, an error `pull QPS exceeded` when there were too many, or the signal's reason
   */
  async pull(
    image: string,
    {
      credentials = [],
      sandboxConfig,
      signal,
    }: PullOptions & {
      credentials?: readonly PodCredential[];
    } = {},
  ): Promise<PulledImage> {
    const inTurn = this.#slots.run(async () => {
      signal?.throwIfAborted();
      if (!this.#permits.tryTake(this.#clock.now())) throw new Error('pull QPS exceeded');
      const startMs = this.#clock.now();
      const request = { image: { image }, ...(sandboxConfig ? { sandboxConfig } : {}) };
      const pull = (auth: { auth?: AuthConfig }) => this.#images.pullImage({ ...request, ...auth }, { signal });
      const { result, credential } = await withCredentials(credentials, pull, signal);
      const { imageRef } = result;
      const sizeBytes = imageRef === '' ? 0 : await this.#size(image, signal);
      return { imageRef, durationMs: this.#clock.now() - startMs, sizeBytes, credential };
    });
    return unlessAborted(inTurn, signal);
  }

  async #size(image: string, signal: AbortSignal | undefined): Promise<number> {
    try {
      return (await this.#images.imageStatus({ image }, { signal }))?.size ?? 0;
    } catch {
      return 0;
    }
  }
}
