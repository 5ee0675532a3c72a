/**
 * The one error base of Lading. Every error that a user or a calling program may see carries a stable `code`, a
 * message that names what failed, a `hint` with the next step where there is one, its `cause`, and plain data fields.
 * Secrets never enter any of them.
 */

/**
 * Codes of Lading's own, or a reason of the kubelet where Kubernetes has one.
 * @see docs/errors.md, which lists each of them
 */
export type ErrorCode =
  | `ERR_LADING_${string}`
  | 'ErrImagePull'
  | 'ImagePullBackOff'
  | 'ErrImageNeverPull'
  | 'InvalidImageName'
  | 'ImageInspectError'
  | 'RegistryUnavailable'
  | 'SignatureValidationFailed';

export interface ErrorDetails {
  /** What the user can do next, one sentence. */
  readonly hint?: string | undefined;
  readonly cause?: unknown;
  /** Machine-readable facts about the failure; never secrets. */
  readonly data?: Readonly<Record<string, unknown>> | undefined;
}

/** What Lading throws wherever a user or a calling program may meet it. */
export class LadingError extends Error {
  readonly code: ErrorCode;
  readonly hint: string | undefined;
  readonly data: Readonly<Record<string, unknown>>;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = details.hint;
    this.data = details.data ?? {};
  }
}

/** The `code` of any error that has one (`LadingError`, Node's system errors), else undefined. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** The next step that an error names, if it does. */
export function errorHint(error: unknown): string | undefined {
  return error instanceof LadingError ? error.hint : undefined;
}

/** The message of anything that was thrown. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
