import { LadingError } from '../lib/errors.ts';
import { parseReference, repositoryName, trimReference } from '../oci/index.ts';
import { goQuote } from './go-text.ts';

/** An image text as the kubelet splits it; empty texts stand for what is absent. */
export interface ImageName {
  /** Normalised: `docker.io/library/nginx`. */
  readonly repository: string;
  /** `latest` when the text has neither tag nor digest. */
  readonly tag: string;
  readonly digest: string;
}

/**
 * @throws LadingError `InvalidImageName`, with the kubelet's text as its message
 * @see pull-policy.md 1
 */
export function parseImageName(image: string): ImageName {
  const reference = orInvalidImageName(image, parseReference);
  return {
    repository: repositoryName(reference),
    tag: reference.tag ?? (reference.digest === undefined ? 'latest' : ''),
    digest: reference.digest ?? '',
  };
}

/**
 * What the kubelet hands to the runtime: the text itself, with `:latest` appended when it has neither tag nor digest.
 * @throws LadingError `InvalidImageName`
 * @see pull-policy.md 1
 */
export function runtimeImage(image: string): string {
  const { tag, digest } = parseImageName(image);
  return digest !== '' || image.endsWith(`:${tag}`) ? image : `${image}:${tag}`;
}

/**
 * The key of pull records and of the kubelet's allow list: the text without tag and digest, not normalised.
 * @throws LadingError `InvalidImageName`
 * @see pull-policy.md 1
 */
export function recordKey(image: string): string {
  return orInvalidImageName(image, trimReference);
}

/** The same; undefined for what cannot be read. */
export function tryRecordKey(image: string): string | undefined {
  try {
    return recordKey(image);
  } catch {
    return undefined;
  }
}

function orInvalidImageName<T>(image: string, parse: (image: string) => T): T {
  try {
    return parse(image);
  } catch (error) {
    if (!(error instanceof LadingError)) throw error;
    throw new LadingError('InvalidImageName', `couldn't parse image name ${goQuote(image)}: ${error.data.detail}`, {
      hint: error.hint,
      cause: error,
      data: { class: error.data.class, detail: error.data.detail },
    });
  }
}
