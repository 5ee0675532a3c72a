/** Finds the image that a text of a CRI request means: an id, the beginning of one, or any form of reference. */
import { CriError } from '../cri/index.ts';
import { formatReference, parseReference, pullReference, type Reference, repositoryName } from '../oci/index.ts';
import type { ImageRecord, Store } from '../store/index.ts';

/** @throws CriError `UNKNOWN` when the text is the beginning of several ids */
export function findImage(store: Store, text: string): ImageRecord | undefined {
  return byName(store, text) ?? byId(store, text);
}

/**
 * Tags that mean the image now, and its digests in every repository that it came from: an image that lost its tag keeps
 * its repository digest until it is removed.
 * @see cri.md 2
 */
export function namesOfImage(store: Store, image: ImageRecord): { repoTags: string[]; repoDigests: string[] } {
  const repoTags: string[] = [];
  const repoDigests = new Set<string>();
  for (const { name, digest, until } of store.names.meaningsOf(image.id, image.createdAt)) {
    const reference = parseReference(name);
    if (until === undefined && reference.digest === undefined) repoTags.push(name);
    repoDigests.add(`${repositoryName(reference)}@${digest}`);
  }
  return { repoTags, repoDigests: [...repoDigests] };
}

function byName(store: Store, text: string): ImageRecord | undefined {
  const reference = tryParse(text);
  if (!reference) return undefined;
  const named = store.names.get(formatReference(reference));
  if (named) return store.images.get(named.imageId);
  if (reference.digest === undefined) return undefined;
  const wanted = `${repositoryName(reference)}@${reference.digest}`;
  return store.images.list().find((image) => namesOfImage(store, image).repoDigests.includes(wanted));
}

function byId(store: Store, text: string): ImageRecord | undefined {
  const hex = text.startsWith('sha256:') ? text.slice('sha256:'.length) : text;
  if (!/^[0-9a-f]{1,64}$/.test(hex)) return undefined;
  const matches = store.images.list().filter((image) => image.id.startsWith(`sha256:${hex}`));
  if (matches.length > 1) {
    throw new CriError(
      'UNKNOWN',
      `ambiguous image id ${JSON.stringify(text)}: it is the beginning of ${matches.length} ids`,
      {
        hint: 'Give more digits of the id.',
      },
    );
  }
  return matches[0];
}

function tryParse(text: string): Reference | undefined {
  try {
    return pullReference(parseReference(text));
  } catch {
    return undefined;
  }
}
