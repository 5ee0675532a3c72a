import { LadingError } from '../lib/errors.ts';
import type { Digest } from '../oci/digest.ts';

/** Content that is not what it was said to be: none of it is kept. */

const hint =
  'What was sent is not what was asked for; nothing of it was kept. Try again, or ask whoever runs the registry.';

export function digestMismatch(expected: Digest, actual: Digest, size: number): LadingError {
  return new LadingError('ERR_LADING_DIGEST_MISMATCH', `content of ${expected} has the digest ${actual}`, {
    hint,
    data: { expected, actual, size },
  });
}

export function sizeMismatch(what: string, expected: number, actual: string): LadingError {
  return new LadingError('ERR_LADING_SIZE_MISMATCH', `${what} should have ${expected} bytes and has ${actual}`, {
    hint,
    data: { expected, actual },
  });
}
