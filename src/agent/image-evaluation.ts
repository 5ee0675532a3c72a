import type { PodSandboxConfig } from '../cri/messages.ts';
import type { PullDecision } from '../policy/index.ts';

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
  /**
   * The container's waiting reason, a `KubeletReason` where the kubelet has a name for it, else the text of the problem;
   * undefined when it can start.
   */
  readonly error?: string;
  /** The container's waiting message, and what the event said of an image that was there; else empty. */
  readonly message: string;
  /** What the runtime advises after a failed pull. */
  readonly hint?: string | undefined;
}
