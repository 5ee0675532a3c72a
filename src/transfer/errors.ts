import { LadingError } from '../lib/errors.ts';

/** What is not an image archive or layout, or says something impossible. */
export function invalid(place: string, problem: string, cause?: unknown): LadingError {
  return new LadingError('ERR_LADING_ARCHIVE_INVALID', `${place} cannot be used: ${problem}`, {
    cause,
    hint: 'Lading reads OCI layouts and what `docker save`, `podman save` and `skopeo copy` write. If it is one of these, it is damaged: write it again.',
  });
}

/** What names content that it does not have. */
export function incomplete(place: string, missing: string): LadingError {
  return new LadingError('ERR_LADING_ARCHIVE_INCOMPLETE', `${place} is incomplete: it has no ${missing}`, {
    hint: 'It was cut short, or holds one platform of several: choose that with --platform, or write it again.',
  });
}
