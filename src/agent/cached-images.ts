import type { ImageService } from '../cri/services.ts';
import type { Clock } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import {
  decideCached,
  goQuote,
  imagePullKey,
  lastKnownCurrent,
  type PullDecision,
  type WhenUnreachable,
  whenUnreachable,
} from '../policy/index.ts';
import type { EventRecorder } from './events.ts';
import type { ImageEvaluation, ImageRequest } from './image-manager.ts';
import type { Pod } from './pod.ts';

const log = debugLog('agent');

type CachedOutcome = Partial<Pick<ImageEvaluation, 'decision' | 'imageRef' | 'error' | 'message' | 'hint'>>;

/** `Always`, best effort: while the registry cannot be asked, what the node has, if pod or node allow it, and loudly. */
export class CachedImages {
  readonly #images: Pick<ImageService, 'imageStatus'>;
  readonly #clock: Clock;
  readonly #events: EventRecorder;
  readonly #nodeDefault: WhenUnreachable | undefined;
  /** Image ids by back-off key, until the registry says something about them. */
  readonly #used = new Map<string, string>();

  constructor(deps: {
    images: Pick<ImageService, 'imageStatus'>;
    clock: Clock;
    events: EventRecorder;
    nodeDefault: WhenUnreachable | undefined;
  }) {
    this.#images = deps.images;
    this.#clock = deps.clock;
    this.#events = deps.events;
    this.#nodeDefault = deps.nodeDefault;
  }

  /**
   * What changes in the outcome of a pull that failed because the registry cannot be asked; nothing when no cached image
   * may be used.
   * @param failure of the last pull, which may have been an earlier one
   * @param mayUse whether the pod's credentials are known to give access to the image
   */
  async use(
    pod: Pod,
    request: ImageRequest,
    {
      decision,
      fullName,
      failure,
      mayUse,
    }: { decision: PullDecision; fullName: string; failure: string; mayUse: (imageId: string) => Promise<boolean> },
  ): Promise<CachedOutcome> {
    const when = whenUnreachable(pod.metadata.annotations, this.#nodeDefault);
    if (!when.useCached) return {};
    try {
      const local = await this.#images.imageStatus({ image: fullName }, { signal: request.signal });
      if (!local) return {};
      const checkedAt = Date.parse(local.spec?.annotations?.['lading.dev/checked-at'] ?? '');
      const checkedAtMs = Number.isNaN(checkedAt) ? undefined : checkedAt;
      const atMs = this.#clock.now();
      const cached = decideCached(decision, { when, verified: await mayUse(local.id), checkedAtMs, atMs });
      if (cached?.action !== 'use-local') return cached ? { decision: cached } : {};
      const digest = local.repoDigests[0] ?? local.id;
      const message = `Registry of image ${goQuote(request.image)} cannot be asked; using ${digest} of this node, ${lastKnownCurrent(checkedAtMs, atMs)}: ${failure}`;
      this.#events.record(pod, request.fieldPath, { type: 'Warning', reason: 'UsingCachedImage', message });
      this.#used.set(imagePullKey(pod.metadata.uid, request.image), local.id);
      return { decision: cached, imageRef: local.id, error: undefined, message, hint: undefined };
    } catch (error) {
      request.signal?.throwIfAborted();
      log('cannot use the cached image %s: %s', request.image, errorMessage(error));
      return {};
    }
  }

  /** Says whether a cached image that was used was the current one, once the registry has answered. */
  checked(pod: Pod, { image, fieldPath }: ImageRequest, imageRef: string | undefined): void {
    const key = imagePullKey(pod.metadata.uid, image);
    const used = this.#used.get(key);
    if (used === undefined || imageRef === undefined) return;
    this.#used.delete(key);
    const said = `Registry of image ${goQuote(image)} answers again: ${used}, which was used meanwhile, is`;
    if (used === imageRef) {
      this.#events.record(pod, fieldPath, { type: 'Normal', reason: 'CachedImageCurrent', message: `${said} current` });
    } else {
      const message = `${said} stale; the name now means ${imageRef}`;
      this.#events.record(pod, fieldPath, { type: 'Warning', reason: 'CachedImageStale', message });
    }
  }
}
