import { CriError } from '../cri/error.ts';
import type { PodSandboxConfig } from '../cri/messages.ts';
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
  type KubeletReason,
  looksAtNode,
  type PullDecision,
  type PullFailure,
  runtimeImage,
} from '../policy/index.ts';
import type { EventRecorder, EventText } from './events.ts';
import type { Pod } from './pod.ts';
import { type PulledImage, Puller, type PullerOptions } from './puller.ts';

export interface ImageRequest {
  /** As in the pod. */
  readonly image: string;
  /** A pull policy; other texts, which validation lets through to nobody, pull without looking at the node. */
  readonly policy: string;
  /** What the events are about: `spec.containers{web}`, or undefined for the pod. */
  readonly fieldPath: string | undefined;
  readonly sandboxConfig?: PodSandboxConfig;
  readonly signal?: AbortSignal;
}

/** The outcome of one evaluation of a pull policy. */
export interface ImageEvaluation {
  readonly decision: PullDecision;
  /** Whether the node had the image; `unknown` when the policy does not ask, or the runtime could not answer. */
  readonly present: boolean | 'unknown';
  /** Whether a pull was needed, successful or not; `unknown` when the evaluation ended before that question. */
  readonly pullRequired: boolean | 'unknown';
  /** Id of the image to run; undefined after an error. */
  readonly imageRef?: string;
  /** The container's waiting reason; undefined when it can start. */
  readonly error?: KubeletReason;
  /** The container's waiting message, and what the event said of an image that was there; else empty. */
  readonly message: string;
  /** What the runtime advises after a failed pull. */
  readonly hint?: string | undefined;
}

/**
 * Makes images available as the kubelet does, one evaluation for each start of a container: look, decide, pull, back
 * off, and say so in events. Images that are on the node are used without asking whose credentials fetched them.
 * @see pull-policy.md 4 to 7
 */
export class ImageManager {
  readonly #images: ImageService;
  readonly #clock: Clock;
  readonly #events: EventRecorder;
  readonly #puller: Puller;
  readonly #backOff: Backoff;
  /** `<error>: <message>` of the last failure of each back-off key. */
  readonly #lastFailures = new Map<string, string>();

  constructor(
    { images, clock, events }: { images: ImageService; clock: Clock; events: EventRecorder },
    { backOff = imagePullBackOff, ...puller }: PullerOptions & { backOff?: { initialMs: number; maxMs: number } } = {},
  ) {
    this.#images = images;
    this.#clock = clock;
    this.#events = events;
    this.#puller = new Puller(images, clock, puller);
    this.#backOff = new Backoff(backOff);
  }

  /**
   * EnsureImageExists of the kubelet. It does not throw for anything that it can name as a waiting reason.
   * @throws the signal's reason when the request's signal aborts; a pull in progress is then given up
   */
  async ensureImageExists(pod: Pod, request: ImageRequest): Promise<ImageEvaluation> {
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

    const key = imagePullKey(pod.metadata.uid, image);
    const inBackOff = this.#backOff.isInBackOffSinceUpdate(key, this.#clock.now());
    const decision = decidePull({ policy, present, inBackOff });
    if (decision.action === 'use-local') {
      const message = `Container image ${quoted} already present on machine`;
      emit({ type: 'Normal', reason: 'Pulled', message });
      return { decision, present, pullRequired: false, imageRef: localId, message };
    }
    if (decision.error === 'ErrImageNeverPull') {
      const message = `Container image ${quoted} is not present with pull policy of Never`;
      emit({ type: 'Warning', reason: 'ErrImageNeverPull', message });
      return this.#refused(decision, { present, message });
    }
    if (decision.error === 'ImagePullBackOff') {
      emit({ type: 'Normal', reason: 'BackOff', message: backOffMessage(image) });
      const message = backOffMessage(image, this.#lastFailures.get(key));
      return { ...this.#refused(decision, { present, message }), pullRequired: true };
    }
    return { ...(await this.#pull(pod, request, { key, fullName })), decision, present, pullRequired: true };
  }

  async #pull(
    pod: Pod,
    request: ImageRequest,
    { key, fullName }: { key: string; fullName: string },
  ): Promise<Pick<ImageEvaluation, 'imageRef' | 'error' | 'message' | 'hint'>> {
    const quoted = goQuote(request.image);
    const emit = (event: EventText) => this.#events.record(pod, request.fieldPath, event);
    this.#lastFailures.delete(key);
    emit({ type: 'Normal', reason: 'Pulling', message: `Pulling image ${quoted}` });
    const startMs = this.#clock.now();
    let pulled: PulledImage;
    try {
      pulled = await this.#puller.pull(fullName, request);
    } catch (error) {
      request.signal?.throwIfAborted();
      const failure = this.#pullFailed(request.image, key, criErrorText(error), emit);
      return { ...failure, hint: errorHint(error) };
    }
    const waitedMs = this.#clock.now() - startMs;
    const times = `${goDuration(pulled.durationMs)} (${goDuration(waitedMs)} including waiting)`;
    const message = `Successfully pulled image ${quoted} in ${times}. Image size: ${pulled.sizeBytes} bytes.`;
    emit({ type: 'Normal', reason: 'Pulled', message });
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

/** As the kubelet sees a failed call: with the gRPC code in front unless that is `UNKNOWN`. */
function criErrorText(error: unknown): string {
  return error instanceof CriError ? error.toString() : errorMessage(error);
}
