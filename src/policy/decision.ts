import { isPullPolicy, type PullPolicy } from './default-policy.ts';
import type { KubeletReason } from './pull-error.ts';

/** A fact that led to a decision. */
export interface Reason {
  /** Stable; for programs. */
  readonly fact: string;
  /** A sentence; for people. */
  readonly text: string;
}

export interface PullFacts {
  /** A `PullPolicy`; any other text pulls without looking at the node, as the kubelet does with objects it did not check. */
  readonly policy: string;
  /** What the runtime says about the image; `unknown` when it was not asked, or could not answer. */
  readonly present: boolean | 'unknown';
  /** Why the image text cannot be read; then nothing else counts. */
  readonly nameError?: string | undefined;
  /** Whether a present image may be used without showing its registry the pod's credentials again; by default it may. */
  readonly verified?: boolean | undefined;
  /** Whether a pull of this text for this pod failed a short time ago. */
  readonly inBackOff?: boolean | undefined;
}

export interface PullDecision {
  readonly action: 'pull' | 'use-local' | 'refuse';
  /** Of a refusal, where the kubelet has a name for it. */
  readonly error?: KubeletReason;
  readonly reasons: readonly Reason[];
}

/** Whether the kubelet asks the runtime for the image at all; under `Always` it does not. */
export function looksAtNode(policy: string): boolean {
  return policy === 'IfNotPresent' || policy === 'Never';
}

/**
 * What the kubelet does about an image before it starts a container of it: pull, use what the node has, or refuse.
 * @see pull-policy.md 4, decision table
 */
export function decidePull(facts: PullFacts): PullDecision {
  const { policy, present, verified = true, inBackOff = false } = facts;
  if (facts.nameError !== undefined) {
    return refuse('InvalidImageName', {
      fact: 'name-invalid',
      text: `The image name cannot be read: ${facts.nameError}.`,
    });
  }
  const policyReason = isPullPolicy(policy) ? policyReasons[policy] : unknownPolicy;
  if (!looksAtNode(policy)) return pullUnlessInBackOff(inBackOff, policyReason);
  if (present === 'unknown') return refuse('ImageInspectError', inspectionFailed);
  if (present && verified) return { action: 'use-local', reasons: [policyReason, isPresent] };
  const notUsable = present ? notVerified : absent;
  if (policy === 'Never') return refuse('ErrImageNeverPull', policyReason, notUsable);
  return pullUnlessInBackOff(inBackOff, policyReason, notUsable);
}

function pullUnlessInBackOff(inBackOff: boolean, ...reasons: Reason[]): PullDecision {
  return inBackOff ? refuse('ImagePullBackOff', ...reasons, backingOff) : { action: 'pull', reasons };
}

function refuse(error: KubeletReason, ...reasons: Reason[]): PullDecision {
  return { action: 'refuse', error, reasons };
}

/** What becomes of a decision to pull when the credentials for it cannot be built. The kubelet has no name for it. */
export function withoutCredentials({ reasons }: PullDecision, problem: string): PullDecision {
  const text = `The credentials of the pod cannot be read: ${problem}.`;
  return { action: 'refuse', reasons: [...reasons, { fact: 'credentials-unreadable', text }] };
}

/** What becomes of a decision to pull when it cannot be noted on disk. The kubelet has no name for it. */
export function withoutIntent({ reasons }: PullDecision, problem: string): PullDecision {
  const text = `The intent to pull the image cannot be written down: ${problem}.`;
  return { action: 'refuse', reasons: [...reasons, { fact: 'intent-unwritable', text }] };
}

/** What each policy means. */
export const policyReasons: Readonly<Record<PullPolicy, Reason>> = {
  Always: {
    fact: 'policy-always',
    text: 'Always asks the registry at every start of the container, whatever this node has.',
  },
  IfNotPresent: {
    fact: 'policy-if-not-present',
    text: 'IfNotPresent asks the registry only when this node does not have the image.',
  },
  Never: { fact: 'policy-never', text: 'With Never the registry is not asked, whatever this node lacks.' },
};
const unknownPolicy: Reason = {
  fact: 'policy-unknown',
  text: 'The pull policy is none of Always, IfNotPresent and Never, so the image is pulled.',
};
const isPresent: Reason = { fact: 'node-present', text: 'This node has the image.' };
const absent: Reason = { fact: 'node-absent', text: 'This node does not have the image.' };
const notVerified: Reason = {
  fact: 'node-not-verified',
  text: "This node has the image, but does not know that this pod's credentials give access to it.",
};
const inspectionFailed: Reason = {
  fact: 'node-unknown',
  text: 'The runtime could not say whether this node has the image.',
};
const backingOff: Reason = {
  fact: 'back-off',
  text: 'A pull of this image for this pod failed a short time ago, and the delay before the next attempt is running.',
};
