import { goQuote } from './go-text.ts';

/** What the kubelet writes as a container's waiting reason when its image is the reason. */
export const kubeletReasons = [
  'ErrImagePull',
  'ImagePullBackOff',
  'ErrImageNeverPull',
  'InvalidImageName',
  'ImageInspectError',
  'RegistryUnavailable',
  'SignatureValidationFailed',
] as const;
export type KubeletReason = (typeof kubeletReasons)[number];

export function isKubeletReason(text: string): text is KubeletReason {
  return (kubeletReasons as readonly string[]).includes(text);
}

export interface PullFailure {
  readonly error: Extract<KubeletReason, 'ErrImagePull' | 'RegistryUnavailable' | 'SignatureValidationFailed'>;
  readonly message: string;
}

/**
 * Tells pull errors apart by the runtime's text, as the kubelet does: by its beginning only, and with exact case.
 * @param image the text in the pod
 * @see pull-policy.md 5
 */
export function classifyPullError(image: string, text: string): PullFailure {
  const causes = {
    RegistryUnavailable: 'the registry is unavailable',
    SignatureValidationFailed: 'the signature validation failed',
  } as const;
  for (const error of ['RegistryUnavailable', 'SignatureValidationFailed'] as const) {
    if (!text.startsWith(error)) continue;
    return { error, message: `image pull failed for ${image} because ${causes[error]}${text.slice(error.length)}` };
  }
  return { error: 'ErrImagePull', message: text };
}

/** One text for the failures of several credentials, in the order they were tried. @see pull-policy.md 5 */
export function combinePullErrors(texts: readonly string[]): string {
  const distinct = [...new Set(texts)];
  return distinct.length === 1 ? distinct[0]! : `[${distinct.join(', ')}]`;
}

/** @param lastFailure `<error>: <message>` of the last attempt, when it is known */
export function backOffMessage(image: string, lastFailure?: string): string {
  return `Back-off pulling image ${goQuote(image)}${lastFailure === undefined ? '' : `: ${lastFailure}`}`;
}
