import { isPullPolicy, pullPolicies } from './default-policy.ts';
import { goQuote, goTrim } from './go-text.ts';

/** What is wrong with one field, in the words of the Kubernetes API. */
export interface FieldError {
  readonly type: 'Required' | 'NotSupported' | 'Invalid';
  /** Below the container or the volume: `imagePullPolicy`, `image.reference`. */
  readonly field: string;
  /** Without the field: `Unsupported value: "x": supported values: …`. */
  readonly text: string;
}

/** Checks a policy that has been defaulted already. @see pull-policy.md 2.2 */
export function validatePullPolicy(policy: string, field = 'imagePullPolicy'): FieldError[] {
  if (isPullPolicy(policy)) return [];
  if (policy === '') return [{ type: 'Required', field, text: 'Required value' }];
  const supported = pullPolicies.map(goQuote).join(', ');
  return [
    { type: 'NotSupported', field, text: `Unsupported value: ${goQuote(policy)}: supported values: ${supported}` },
  ];
}

/** Checks the image text of a container in a pod; its syntax is nothing that the API looks at. @see pull-policy.md 2.2 */
export function validateContainerImage(image: string): FieldError[] {
  if (image === '') return [{ type: 'Required', field: 'image', text: 'Required value' }];
  if (goTrim(image) === image) return [];
  const text = `Invalid value: ${goQuote(image)}: must not have leading or trailing whitespace`;
  return [{ type: 'Invalid', field: 'image', text }];
}

/** Checks an image volume source; a template may leave the reference to whoever makes pods of it. */
export function validateImageVolume(source: {
  readonly reference: string;
  readonly pullPolicy: string;
  readonly insidePod: boolean;
}): FieldError[] {
  const missing = source.insidePod && source.reference === '';
  return [
    ...(missing ? [{ type: 'Required', field: 'image.reference', text: 'Required value' } as const] : []),
    ...validatePullPolicy(source.pullPolicy, 'image.pullPolicy'),
  ];
}
