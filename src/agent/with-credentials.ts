import { CriError } from '../cri/error.ts';
import type { AuthConfig } from '../cri/messages.ts';
import { errorHint } from '../lib/errors.ts';
import { combinePullErrors } from '../policy/index.ts';
import { criErrorText } from './cri-error-text.ts';
import type { PodCredential } from './pod-credentials.ts';

/**
 * Asks a registry with one credential after the other until one works; without any the question is anonymous, with some
 * it never is.
 * @throws what the attempt throws; of several credentials one error with all texts; the signal's reason
 * @see pull-policy.md 5
 */
export async function withCredentials<T>(
  credentials: readonly PodCredential[],
  attempt: (auth: { auth?: AuthConfig }) => Promise<T>,
  signal: AbortSignal | undefined,
): Promise<{ result: T; credential: PodCredential | undefined }> {
  if (credentials.length === 0) return { result: await attempt({}), credential: undefined };
  const failures: unknown[] = [];
  for (const credential of credentials) {
    try {
      return { result: await attempt({ auth: credential.auth }), credential };
    } catch (error) {
      signal?.throwIfAborted();
      failures.push(error);
    }
  }
  const text = combinePullErrors(failures.map(criErrorText));
  const same = failures.find((failure) => criErrorText(failure) === text);
  throw same ?? new CriError('UNKNOWN', text, { hint: errorHint(failures[0]), cause: failures[0] });
}
