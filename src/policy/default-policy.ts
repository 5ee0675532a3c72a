import { type ImageName, parseImageName } from './image-name.ts';

/** When a node asks the registry for an image. */
export type PullPolicy = 'Always' | 'IfNotPresent' | 'Never';

export const pullPolicies: readonly PullPolicy[] = ['Always', 'IfNotPresent', 'Never'];

export function isPullPolicy(text: string): text is PullPolicy {
  return (pullPolicies as readonly string[]).includes(text);
}

export interface DefaultedPolicy<P extends string = PullPolicy> {
  readonly policy: P;
  readonly origin: 'written' | 'defaulted';
  /** Why it is this policy, as a clause that can follow "because". */
  readonly rule: string;
}

/**
 * The policy that the API gives to a container or an image volume. A written policy is never changed, not even one that
 * does not exist: validation refuses it.
 * @see pull-policy.md 2.1
 */
export function defaultPullPolicy(image: string, explicit?: PullPolicy | ''): DefaultedPolicy;
export function defaultPullPolicy(image: string, explicit: string | undefined): DefaultedPolicy<string>;
export function defaultPullPolicy(image: string, explicit: string | undefined): DefaultedPolicy<string> {
  if (explicit) return { policy: explicit, origin: 'written', rule: 'the manifest says so' };
  return { origin: 'defaulted', ...policyOfName(image) };
}

function policyOfName(image: string): { policy: PullPolicy; rule: string } {
  const name = tryParse(image);
  if (!name) {
    const what = image === '' ? 'no image' : 'an image name that cannot be read';
    return { policy: 'IfNotPresent', rule: `${what} means IfNotPresent` };
  }
  const { tag, digest } = name;
  if (tag === 'latest') {
    if (digest !== '') return { policy: 'Always', rule: 'the tag :latest means Always, even beside a digest' };
    if (image.endsWith(':latest')) return { policy: 'Always', rule: 'the tag :latest means Always' };
    return { policy: 'Always', rule: 'no tag means :latest, and :latest means Always' };
  }
  if (tag === '') return { policy: 'IfNotPresent', rule: 'a digest without a tag means IfNotPresent' };
  const unlike = tag.toLowerCase() === 'latest' ? `:${tag} is not :latest (case counts)` : `:${tag} is not :latest`;
  return { policy: 'IfNotPresent', rule: `the tag ${unlike}, and any other tag means IfNotPresent` };
}

function tryParse(image: string): ImageName | undefined {
  try {
    return parseImageName(image);
  } catch {
    return undefined;
  }
}
