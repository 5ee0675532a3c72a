import type { ImageService } from '../cri/services.ts';
import type { Clock } from '../lib/clock.ts';
import { errorHint, errorMessage } from '../lib/errors.ts';
import {
  Backoff,
  backOffMessage,
  classifyPullError,
  decidePull,
  goDuration,
  goQuote,
  imagePullBackOff,
  imagePullKey,
  looksAtNode,
  type PullDecision,
  type PullFailure,
  parseImageName,
  runtimeImage,
  type WhenUnreachable,
  withoutCredentials,
  withoutIntent,
} from '../policy/index.ts';
import { CachedImages, type CurrentDigest } from './cached-images.ts';
import { criErrorText } from './cri-error-text.ts';
import type { EventRecorder, EventText } from './events.ts';
import type { ImageEvaluation, ImageRequest } from './image-evaluation.ts';
import type { ImageMetrics } from './image-metrics.ts';
import type { Pod } from './pod.ts';
import {
  credentialsOfPullSecrets,
  grantedBy,
  type PodCredential,
  type PodCredentialSource,
  trackedCredentials,
} from './pod-credentials.ts';
import type { PullTracker } from './pull-tracker.ts';
import { type PulledImage, Puller, type PullerOptions } from './puller.ts';

/** A pull that waits for its next attempt. */
export interface ImageBackOff {
  /** As in the pod. */
  readonly image: string;
  /** Milliseconds until the next attempt is allowed. */
  readonly leftMs: number;
  /** `<error>: <message>` of the last attempt, when it is known. */
  readonly failure?: string | undefined;
}

interface PullAttempt {
  readonly decision: PullDecision;
  readonly key: string;
  readonly fullName: string;
  readonly tracking: PullTracking | undefined;
  readonly credentials: () => Promise<readonly PodCredential[]>;
}

type PullOutcome = Pick<ImageEvaluation, 'imageRef' | 'error' | 'message' | 'hint'> & { decision?: PullDecision };

/** What an evaluation asks about the credentials of earlier pulls, and tells about its own. */
export type PullTracking = Pick<PullTracker, 'mustAttemptPull' | 'recordIntent' | 'recordPulled' | 'recordFailed'>;

export interface ImageManagerOptions extends PullerOptions {
  readonly backOff?: { readonly initialMs: number; readonly maxMs: number };
  /** The credentials of pods; by default those of their pull secrets. Without any the runtime uses those it knows itself. */
  readonly credentials?: PodCredentialSource;
  /**
   * Whose credentials gave access to the images that are there. Without it every pod may use every image of the node, as
   * with the kubelet's feature gate `KubeletEnsureSecretPulledImages` off.
   */
  readonly tracking?: PullTracking | Promise<PullTracking>;
  /** For pods that say nothing about it; by default `Always` fails, as in the kubelet. */
  readonly whenUnreachable?: WhenUnreachable;
  /** Asks again for images that were used meanwhile; without it they are checked when a container starts. */
  readonly currentDigest?: CurrentDigest;
  readonly metrics?: ImageMetrics;
}

/**
 * Makes images available as the kubelet does, one evaluation for each start of a container: look, decide, pull, back
 * off, and say so in events.
 * @see pull-policy.md 4 to 9
 */
export class ImageManager {
  readonly #images: ImageService;
  readonly #clock: Clock;
  readonly #events: EventRecorder;
  readonly #puller: Puller;
  readonly #backOff: Backoff;
  readonly #credentials: PodCredentialSource;
  readonly #cachedImages: CachedImages;
  readonly #tracking: Promise<PullTracking | undefined>;
  readonly #metrics: ImageMetrics | undefined;
  /** `<error>: <message>` of the last failure of each back-off key. */
  readonly #lastFailures = new Map<string, string>();

  constructor(
    { images, clock, events }: { images: ImageService; clock: Clock; events: EventRecorder },
    {
      backOff = imagePullBackOff,
      credentials = credentialsOfPullSecrets,
      tracking,
      whenUnreachable,
      currentDigest,
      metrics,
      ...puller
    }: ImageManagerOptions = {},
  ) {
    this.#images = images;
    this.#clock = clock;
    this.#events = events;
    this.#puller = new Puller(images, clock, puller);
    this.#backOff = new Backoff(backOff);
    this.#credentials = credentials;
    this.#metrics = metrics;
    this.#cachedImages = new CachedImages({ images, clock, events, nodeDefault: whenUnreachable, currentDigest });
    this.#tracking = Promise.resolve(tracking);
    // Told by the evaluations, each of which waits for it.
    this.#tracking.catch(() => {});
  }

  /**
   * EnsureImageExists of the kubelet. It does not throw for anything that it can name as a waiting reason.
   * @throws the signal's reason when the request's signal aborts; a pull in progress is then given up
   */
  async ensureImageExists(pod: Pod, request: ImageRequest): Promise<ImageEvaluation> {
    const evaluation = await this.#evaluate(pod, request);
    this.#metrics?.ensured(request.policy, evaluation);
    return evaluation;
  }

  async #evaluate(pod: Pod, request: ImageRequest): Promise<ImageEvaluation> {
    const { image, policy } = request;
    const emit = (event: EventText) => this.#events.record(pod, request.fieldPath, event);
    const quoted = goQuote(image);

    let fullName: string;
    try {
      fullName = runtimeImage(image);
    } catch (error) {
      const nameError = errorMessage(error);
      const message = `Failed to apply default image tag ${quoted}: ${nameError}`;
      emit({ type: 'Warning', reason: 'InspectFailed', message });
      return this.#refused(decidePull({ policy, present: 'unknown', nameError }), { present: 'unknown', message });
    }

    let present: boolean | 'unknown' = policy === 'Always' ? 'unknown' : false;
    let localId = '';
    if (looksAtNode(policy)) {
      try {
        localId = (await this.#images.imageStatus({ image: fullName }, { signal: request.signal }))?.id ?? '';
        present = localId !== '';
      } catch (error) {
        request.signal?.throwIfAborted();
        // The kubelet prints the id that it has not got: the quotes are always empty.
        const message = `Failed to inspect image "": ${criErrorText(error)}`;
        emit({ type: 'Warning', reason: 'InspectFailed', message });
        return this.#refused(decidePull({ policy, present: 'unknown' }), { present: 'unknown', message });
      }
    }

    const tracking = await this.#tracking;
    const credentials = onlyOnce(() => this.#credentials(pod, parseImageName(image).repository));
    let verified = true;
    if (present === true && tracking) {
      const tracked = async () => trackedCredentials(await credentials());
      const { mustPull, error } = await tracking.mustAttemptPull(image, localId, tracked);
      if (error !== undefined) {
        const problem = errorMessage(error);
        const decision = withoutCredentials(decidePull({ policy, present, verified: false }), problem);
        return { decision, present, pullRequired: 'unknown', error: problem, message: problem };
      }
      verified = !mustPull;
    }
    const key = imagePullKey(pod.metadata.uid, image);
    const inBackOff = this.#backOff.isInBackOffSinceUpdate(key, this.#clock.now());
    const decision = decidePull({ policy, present, verified, inBackOff });
    if (decision.action === 'use-local') {
      const message = `Container image ${quoted} already present on machine${tracking ? ' and can be accessed by the pod' : ''}`;
      emit({ type: 'Normal', reason: 'Pulled', message });
      return { decision, present, pullRequired: false, imageRef: localId, message };
    }
    if (decision.error === 'ErrImageNeverPull') {
      const message = `Container image ${quoted} is not present with pull policy of Never`;
      emit({ type: 'Warning', reason: 'ErrImageNeverPull', message });
      return this.#refused(decision, { present, message });
    }
    const outcome = await this.#pullWithCredentials(pod, request, { decision, key, fullName, tracking, credentials });
    const failure = outcome.error === undefined ? undefined : this.#lastFailures.get(key);
    if (policy !== 'Always' || !failure?.startsWith('RegistryUnavailable: ')) {
      await this.#cachedImages.pulled(pod, request, outcome.imageRef);
      return { decision, ...outcome, present, pullRequired: true };
    }
    const mayUse = async (localId: string) =>
      !tracking ||
      !(await tracking.mustAttemptPull(image, localId, async () => trackedCredentials(await credentials()))).mustPull;
    const cached = await this.#cachedImages.use(pod, request, { decision, fullName, failure, mayUse, credentials });
    return { decision, ...outcome, ...cached, present, pullRequired: true };
  }

  /** The pulls of a pod that wait for their next attempt. */
  backOffs(podUid: string): readonly ImageBackOff[] {
    const prefix = imagePullKey(podUid, '');
    return [...this.#backOff.running(prefix, this.#clock.now())].map(([key, leftMs]) => {
      return { image: key.slice(prefix.length), leftMs, failure: this.#lastFailures.get(key) };
    });
  }

  /** Lets a pod pull again at once. @returns what it was waiting for */
  forgetBackOffs(podUid: string): readonly ImageBackOff[] {
    const forgotten = this.backOffs(podUid);
    for (const { image } of forgotten) this.#backOff.reset(imagePullKey(podUid, image));
    return forgotten;
  }

  /** Whatever is remembered of a pod only while it may start something again: it has ended. */
  podEnded(podUid: string): void {
    this.#cachedImages.forget(podUid);
  }

  /** Everything after the decision that a pull is needed: credentials, intent, back-off, in this order. */
  async #pullWithCredentials(pod: Pod, request: ImageRequest, attempt: PullAttempt): Promise<PullOutcome> {
    const { image } = request;
    const { decision, key, tracking } = attempt;
    let credentials: readonly PodCredential[];
    try {
      credentials = await attempt.credentials();
    } catch (error) {
      const problem = errorMessage(error);
      return { decision: withoutCredentials(decision, problem), error: problem, message: problem };
    }
    try {
      await tracking?.recordIntent(image);
    } catch (error) {
      const problem = `failed to record image pull intent: ${errorMessage(error)}`;
      const message = `Failed to record image pull intent for container image ${goQuote(image)}: ${problem}`;
      return { decision: withoutIntent(decision, errorMessage(error)), error: problem, message };
    }
    if (decision.error === 'ImagePullBackOff') {
      await tracking?.recordFailed(image);
      const message = backOffMessage(image);
      this.#events.record(pod, request.fieldPath, { type: 'Normal', reason: 'BackOff', message });
      return { error: decision.error, message: backOffMessage(image, this.#lastFailures.get(key)) };
    }
    return this.#pull(pod, request, { ...attempt, credentials });
  }

  async #pull(
    pod: Pod,
    request: ImageRequest,
    {
      key,
      fullName,
      tracking,
      credentials,
    }: Omit<PullAttempt, 'credentials'> & { credentials: readonly PodCredential[] },
  ): Promise<PullOutcome> {
    const { image } = request;
    const quoted = goQuote(image);
    const emit = (event: EventText) => this.#events.record(pod, request.fieldPath, event);
    this.#lastFailures.delete(key);
    emit({ type: 'Normal', reason: 'Pulling', message: `Pulling image ${quoted}` });
    const startMs = this.#clock.now();
    let pulled: PulledImage;
    try {
      pulled = await this.#puller.pull(fullName, { ...request, credentials });
    } catch (error) {
      await tracking?.recordFailed(image);
      request.signal?.throwIfAborted();
      const failure = this.#pullFailed(image, key, criErrorText(error), emit);
      return { ...failure, hint: errorHint(error) };
    }
    const waitedMs = this.#clock.now() - startMs;
    const times = `${goDuration(pulled.durationMs)} (${goDuration(waitedMs)} including waiting)`;
    const message = `Successfully pulled image ${quoted} in ${times}. Image size: ${pulled.sizeBytes} bytes.`;
    emit({ type: 'Normal', reason: 'Pulled', message });
    this.#metrics?.pulled(pulled.sizeBytes, waitedMs);
    await tracking?.recordPulled(image, pulled.imageRef, grantedBy(pulled.credential));
    this.#forgetExpired();
    return { imageRef: pulled.imageRef, message: '' };
  }

  #pullFailed(image: string, key: string, text: string, emit: (event: EventText) => void): PullFailure {
    emit({ type: 'Warning', reason: 'Failed', message: `Failed to pull image ${goQuote(image)}: ${text}` });
    this.#backOff.next(key, this.#clock.now());
    const failure = classifyPullError(image, text);
    this.#lastFailures.set(key, `${failure.error}: ${failure.message}`);
    return failure;
  }

  /** A success forgets what is older than the longest delay, and nothing else: not even its own key. */
  #forgetExpired(): void {
    this.#backOff.gc(this.#clock.now());
    for (const key of this.#lastFailures.keys()) if (!this.#backOff.has(key)) this.#lastFailures.delete(key);
  }

  #refused(
    decision: PullDecision,
    { present, message }: { present: boolean | 'unknown'; message: string },
  ): ImageEvaluation {
    return { decision, present, pullRequired: 'unknown', error: decision.error!, message };
  }
}

/** The result of the first call, for all calls: errors too. */
function onlyOnce<T>(run: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | undefined;
  return () => {
    result ??= run();
    return result;
  };
}
