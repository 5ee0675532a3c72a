import { imageAnnotations } from '../cri/image-annotations.ts';
import type { AuthConfig, Image } from '../cri/messages.ts';
import type { ImageService } from '../cri/services.ts';
import type { Clock } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import {
  classifyPullError,
  decideCached,
  goQuote,
  imagePullKey,
  lastKnownCurrent,
  type PullDecision,
  parseImageName,
  type WhenUnreachable,
  whenUnreachable,
} from '../policy/index.ts';
import { criErrorText } from './cri-error-text.ts';
import type { EventRecorder, EventText } from './events.ts';
import type { ImageEvaluation, ImageRequest } from './image-evaluation.ts';
import type { Pod } from './pod.ts';
import type { PodCredential } from './pod-credentials.ts';
import { withCredentials } from './with-credentials.ts';

const log = debugLog('agent');

/** When a registry that could not be asked is asked again: short outages end soon; then in steps up to the kubelet's resync period. */
const firstCheckMs = 2000;
const longestCheckMs = 60_000;

/**
 * Asks the registry what a name means now; transfers nothing of the image. The CRI has no call for it.
 * @returns the digest of the manifest or index
 * @throws CriError as `pullImage` does
 */
export type CurrentDigest = (
  image: string,
  options: { readonly auth?: AuthConfig; readonly signal?: AbortSignal | undefined },
) => Promise<string>;

type CachedOutcome = Partial<Pick<ImageEvaluation, 'decision' | 'imageRef' | 'error' | 'message' | 'hint'>>;

/** A cached image that was used, until the registry says something about it. */
interface Used {
  readonly pod: Pod;
  readonly image: string;
  /** The containers of the pod that have it. */
  readonly fieldPaths: Set<string | undefined>;
  readonly fullName: string;
  readonly imageId: string;
  /** `REPOSITORY@DIGEST`, or the image's id. */
  readonly shown: string;
  readonly digests: readonly string[];
  readonly credentials: () => Promise<readonly PodCredential[]>;
  readonly stop: AbortController;
}

/** `Always`, best effort: while the registry cannot be asked, what the node has, if pod or node allow it, and loudly. */
export class CachedImages {
  readonly #images: Pick<ImageService, 'imageStatus'>;
  readonly #clock: Clock;
  readonly #events: EventRecorder;
  readonly #nodeDefault: WhenUnreachable | undefined;
  readonly #currentDigest: CurrentDigest | undefined;
  /** By back-off key. */
  readonly #used = new Map<string, Used>();

  constructor(deps: {
    images: Pick<ImageService, 'imageStatus'>;
    clock: Clock;
    events: EventRecorder;
    nodeDefault: WhenUnreachable | undefined;
    /** Without it the registry is asked again only when a container starts. */
    currentDigest: CurrentDigest | undefined;
  }) {
    this.#images = deps.images;
    this.#clock = deps.clock;
    this.#events = deps.events;
    this.#nodeDefault = deps.nodeDefault;
    this.#currentDigest = deps.currentDigest;
  }

  /**
   * What changes in the outcome of a pull that failed because the registry cannot be asked; nothing when no cached image
   * may be used.
   * @param failure of the last pull, which may have been an earlier one
   * @param mayUse whether the pod's credentials are known to give access to the image
   * @param credentials of the pod, for asking the registry again
   */
  async use(
    pod: Pod,
    request: ImageRequest,
    {
      decision,
      fullName,
      failure,
      mayUse,
      credentials,
    }: {
      decision: PullDecision;
      fullName: string;
      failure: string;
      mayUse: (imageId: string) => Promise<boolean>;
      credentials: () => Promise<readonly PodCredential[]>;
    },
  ): Promise<CachedOutcome> {
    const when = whenUnreachable(pod.metadata.annotations, this.#nodeDefault);
    if (!when.useCached) return {};
    try {
      const local = await this.#images.imageStatus({ image: fullName }, { signal: request.signal });
      if (!local) return {};
      const checkedAt = Date.parse(local.spec?.annotations?.[imageAnnotations.checkedAt] ?? '');
      const checkedAtMs = Number.isNaN(checkedAt) ? undefined : checkedAt;
      const atMs = this.#clock.now();
      const announced = announcedDigest(local, request.image);
      const facts = { when, verified: await mayUse(local.id), checkedAtMs, atMs, announced };
      const cached = decideCached(decision, facts);
      if (cached?.action !== 'use-local') return cached ? { decision: cached } : {};
      const shown = shownDigest(local, request.image);
      const age = lastKnownCurrent(checkedAtMs, atMs);
      const newer = announced === undefined ? '' : `; the name now means ${announced}, which could not be fetched`;
      const message = `Registry of image ${goQuote(request.image)} cannot be asked; using ${shown} of this node, ${age}${newer}: ${failure}`;
      this.#events.record(pod, request.fieldPath, { type: 'Warning', reason: 'UsingCachedImage', message });
      this.#remember({
        ...{ pod, image: request.image, fullName, imageId: local.id, shown, credentials },
        fieldPaths: new Set([request.fieldPath]),
        digests: local.repoDigests.map((digest) => digest.slice(digest.indexOf('@') + 1)),
        stop: new AbortController(),
      });
      return { decision: cached, imageRef: local.id, error: undefined, message, hint: undefined };
    } catch (error) {
      request.signal?.throwIfAborted();
      log('cannot use the cached image %s: %s', request.image, errorMessage(error));
      return {};
    }
  }

  /** Says whether a cached image that was used was the current one, once a pull has succeeded. */
  async pulled(pod: Pod, { image, signal }: ImageRequest, imageRef: string | undefined): Promise<void> {
    const used = this.#used.get(imagePullKey(pod.metadata.uid, image));
    if (!used || imageRef === undefined) return;
    if (used.imageId === imageRef) return this.#say(used, current);
    const now = await this.#images.imageStatus({ image: used.fullName }, { signal }).catch(() => undefined);
    this.#say(used, stale(now ? shownDigest(now, image) : imageRef));
  }

  /** Asks no registry for a pod any more: it has ended. */
  forget(podUid: string): void {
    for (const [key, { pod, stop }] of this.#used) {
      if (pod.metadata.uid !== podUid) continue;
      stop.abort();
      this.#used.delete(key);
    }
  }

  #remember(used: Used): void {
    const key = imagePullKey(used.pod.metadata.uid, used.image);
    const before = this.#used.get(key);
    if (before?.imageId === used.imageId) {
      for (const fieldPath of used.fieldPaths) before.fieldPaths.add(fieldPath);
      return;
    }
    before?.stop.abort();
    this.#used.set(key, used);
    if (this.#currentDigest) void this.#askAgain(used, this.#currentDigest);
  }

  /** Until the registry answers, or somebody else has got its answer. */
  async #askAgain(used: Used, currentDigest: CurrentDigest): Promise<void> {
    const { signal } = used.stop;
    for (let delayMs = firstCheckMs; ; delayMs = Math.min(delayMs * 2, longestCheckMs)) {
      await this.#clock.sleep(delayMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        const ask = (auth: { auth?: AuthConfig }) => currentDigest(used.fullName, { ...auth, signal });
        const { result: digest } = await withCredentials(await used.credentials(), ask, signal);
        if (!signal.aborted) this.#say(used, used.digests.includes(digest) ? current : stale(digest));
        return;
      } catch (error) {
        if (signal.aborted) return;
        const { error: reason, message } = classifyPullError(used.image, criErrorText(error));
        if (reason !== 'RegistryUnavailable') return this.#say(used, unknown(message));
        log('the registry of %s still cannot be asked: %s', used.image, message);
      }
    }
  }

  #say(used: Used, { rest, ...event }: Finding): void {
    const { pod, image, fieldPaths, shown } = used;
    used.stop.abort();
    this.#used.delete(imagePullKey(pod.metadata.uid, image));
    const message = `Registry of image ${goQuote(image)} answers again: ${shown}, which was used meanwhile, ${rest}`;
    for (const fieldPath of fieldPaths) this.#events.record(pod, fieldPath, { ...event, message });
  }
}

/** What became of a cached image, and the end of the sentence about it. */
type Finding = Pick<EventText, 'type' | 'reason'> & { readonly rest: string };

const current: Finding = { type: 'Normal', reason: 'CachedImageCurrent', rest: 'is current' };

function stale(meaning: string): Finding {
  return { type: 'Warning', reason: 'CachedImageStale', rest: `is stale; the name now means ${meaning}` };
}

function unknown(message: string): Finding {
  return { type: 'Warning', reason: 'CachedImageUnknown', rest: `may be stale; it does not say: ${message}` };
}

/** `REPOSITORY@DIGEST` of what the name means here, where the runtime says it. */
function shownDigest({ id, repoDigests, spec }: Image, image: string): string {
  const digest = spec?.annotations?.[imageAnnotations.digest];
  if (digest !== undefined) return inRepository(image, digest);
  return repoDigests.find((each) => each.startsWith(inRepository(image, ''))) ?? id;
}

function announcedDigest({ spec }: Image, image: string): string | undefined {
  const digest = spec?.annotations?.[imageAnnotations.announcedDigest];
  return digest === undefined ? undefined : inRepository(image, digest);
}

function inRepository(image: string, digest: string): string {
  return `${parseImageName(image).repository}@${digest}`;
}
