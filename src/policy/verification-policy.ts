import { LadingError } from '../lib/errors.ts';
import { goQuote, goTrim } from './go-text.ts';
import { tryRecordKey } from './image-name.ts';

/** The kubelet's `imagePullCredentialsVerificationPolicy`, its default first. */
export const verificationPolicies = [
  'NeverVerifyPreloadedImages',
  'NeverVerify',
  'NeverVerifyAllowlistedImages',
  'AlwaysVerify',
] as const;
export type VerificationPolicyName = (typeof verificationPolicies)[number];

/**
 * Whether a pod must have shown its credentials before it may use an image that is on the node.
 * @param image the text in the pod
 */
export type VerificationPolicy = (image: string, facts: { readonly pulledByKubelet: boolean }) => boolean;

/**
 * @param allowlist of `NeverVerifyAllowlistedImages`: names without tag and digest, or `<prefix>/*`
 * @throws LadingError `ERR_LADING_KUBELET_CONFIG` for a policy or a pattern that the kubelet would refuse
 * @see pull-policy.md 9.1
 */
export function verificationPolicy(policy: string, allowlist: readonly string[] = []): VerificationPolicy {
  switch (policy) {
    case 'NeverVerify':
      return () => false;
    case 'NeverVerifyPreloadedImages':
      return (_, { pulledByKubelet }) => pulledByKubelet;
    case 'AlwaysVerify':
      return () => true;
    case 'NeverVerifyAllowlistedImages':
      return unlessListed(allowlist);
    default:
      throw configError(`unknown image pull credential verification policy: ${policy}`, {
        hint: `Use one of ${verificationPolicies.join(', ')}.`,
      });
  }
}

function unlessListed(allowlist: readonly string[]): VerificationPolicy {
  for (const pattern of allowlist) {
    const problem = allowlistPatternError(pattern);
    if (problem !== undefined) throw configError(problem, { hint: 'Write a name without tag, or a prefix and /*.' });
  }
  const names = new Set(allowlist.filter((pattern) => !pattern.endsWith('/*')));
  const prefixes = allowlist.filter((pattern) => pattern.endsWith('/*')).map((pattern) => pattern.slice(0, -1));
  return (image) => {
    const key = tryRecordKey(image);
    return key === undefined || !(names.has(key) || prefixes.some((prefix) => key.startsWith(prefix)));
  };
}

/** Why the kubelet refuses an entry of `preloadedImagesVerificationAllowlist`; undefined when it does not. */
export function allowlistPatternError(pattern: string): string | undefined {
  if (pattern !== goTrim(pattern)) return `leading/trailing spaces are not allowed: ${pattern}`;
  const isPrefix = pattern.endsWith('/*');
  const literal = isPrefix ? pattern.slice(0, -1) : pattern;
  if (literal === '') return `the supplied pattern is too short: ${pattern}`;
  if (literal.includes('*')) {
    return `not a valid wildcard pattern, only patterns ending with '/*' are allowed: ${pattern}`;
  }
  if (isPrefix) return literal === '/' ? 'at least registry hostname is required' : undefined;
  const name = tryRecordKey(literal);
  if (name === undefined) return `failed to parse as an image name: ${goQuote(pattern)}`;
  return name === literal ? undefined : `neither tag nor digest is accepted in an image reference: ${pattern}`;
}

function configError(message: string, details: { hint: string }): LadingError {
  return new LadingError('ERR_LADING_KUBELET_CONFIG', message, details);
}
