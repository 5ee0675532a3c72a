import { parseGoDuration } from '../lib/go-duration.ts';
import type { PullDecision, Reason } from './decision.ts';
import { goDuration, goQuote } from './go-text.ts';

/**
 * What `Always` does while the registry cannot be asked. The kubelet knows only failing; with `useCached` the image that
 * the node has under the name runs, if it was known to be current not longer ago than `maxAgeMs`.
 */
export interface WhenUnreachable {
  readonly useCached: boolean;
  readonly maxAgeMs?: number | undefined;
}

const whenAnnotation = 'lading.dev/when-registry-unreachable';
const maxAgeAnnotation = 'lading.dev/use-cached-max-age';

/** What is wrong with the annotations of a pod, one problem each. */
export function unreachableAnnotationErrors(
  annotations: Readonly<Record<string, string>>,
): { readonly annotation: string; readonly text: string }[] {
  const { [whenAnnotation]: when, [maxAgeAnnotation]: maxAge } = annotations;
  const problems: { annotation: string; text: string }[] = [];
  if (when !== undefined && when !== 'use-cached' && when !== 'fail') {
    const text = `Unsupported value: ${goQuote(when)}: supported values: "use-cached", "fail"`;
    problems.push({ annotation: whenAnnotation, text });
  }
  if (maxAge !== undefined && !((parseGoDuration(maxAge) ?? -1) >= 0)) {
    const text = `Invalid value: ${goQuote(maxAge)}: must be a duration such as 24h or 1h30m`;
    problems.push({ annotation: maxAgeAnnotation, text });
  }
  return problems;
}

/** What holds for a pod: its annotations go before the node's default; what cannot be read allows nothing. */
export function whenUnreachable(
  annotations: Readonly<Record<string, string>>,
  nodeDefault: WhenUnreachable = { useCached: false },
): WhenUnreachable {
  if (unreachableAnnotationErrors(annotations).length > 0) return { useCached: false };
  const { [whenAnnotation]: when, [maxAgeAnnotation]: maxAge } = annotations;
  return {
    useCached: when === undefined ? nodeDefault.useCached : when === 'use-cached',
    maxAgeMs: maxAge === undefined ? nodeDefault.maxAgeMs : parseGoDuration(maxAge),
  };
}

export interface CachedImageFacts {
  readonly when: WhenUnreachable;
  /** Whether the pod may use the image without showing the registry its credentials again. */
  readonly verified: boolean;
  /** When the registry last said that the name means this image; undefined when nobody knows. */
  readonly checkedAtMs: number | undefined;
  readonly atMs: number;
  /** What the registry has said since that the name means, if the node could not get it. */
  readonly announced?: string | undefined;
}

/**
 * What becomes of a decision to pull under `Always` when the registry could not be asked and the node has an image under
 * the name: that image, or the refusal that it was.
 * @returns undefined when nobody has asked for cached images: then nothing needs to be said
 */
export function decideCached({ reasons }: PullDecision, facts: CachedImageFacts): PullDecision | undefined {
  const { when, verified, checkedAtMs, atMs, announced } = facts;
  if (!when.useCached) return undefined;
  const refused = (reason: Reason): PullDecision => ({ action: 'refuse', reasons: [...reasons, unreachable, reason] });
  if (!verified) {
    const text = "This node has the image, but does not know that this pod's credentials give access to it.";
    return refused({ fact: 'node-not-verified', text });
  }
  const age = lastKnownCurrent(checkedAtMs, atMs);
  if (when.maxAgeMs !== undefined && (checkedAtMs === undefined || atMs - checkedAtMs > when.maxAgeMs)) {
    const text = `The image of this node may not be used: ${age}, and the limit is ${goDuration(when.maxAgeMs)}.`;
    return refused({ fact: 'cached-too-old', text });
  }
  const text = `The image that this node has under the name is used: ${age}.`;
  const newer =
    announced === undefined
      ? []
      : [{ fact: 'newer-announced', text: `The name now means ${announced}, which could not be fetched.` }];
  return { action: 'use-local', reasons: [...reasons, unreachable, ...newer, { fact: 'cached-used', text }] };
}

const unreachable: Reason = { fact: 'registry-unreachable', text: 'The registry cannot be asked.' };

/** `it was last known to be current 2h0m0s ago`. */
export function lastKnownCurrent(checkedAtMs: number | undefined, atMs: number): string {
  if (checkedAtMs === undefined) return 'it is not known when it was last current';
  const seconds = Math.floor(Math.max(0, atMs - checkedAtMs) / 1000);
  return `it was last known to be current ${goDuration(seconds * 1000)} ago`;
}
