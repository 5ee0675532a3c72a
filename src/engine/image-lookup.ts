/** Finds the image that a text of a CRI request means: an id, the beginning of one, or any form of reference. */
import { CriError } from '../cri/index.ts';
import { formatReference, parseReference, pullReference } from '../oci/index.ts';
import type { ImageRecord, NameRecord, Store } from '../store/index.ts';

/** @throws CriError `UNKNOWN` when the text is the beginning of several ids */
export function findImage(store: Store, text: string): ImageRecord | undefined {
  return byName(store, text) ?? byId(store, text);
}

/**
 * Tags that mean the image now, and its digests in every repository that it came from: each pull names the digest too,
 * so that an image that lost its tag keeps its repository digest until it is removed.
 * @see cri.md 2
 */
export function namesOfImage(store: Store, image: ImageRecord): { repoTags: string[]; repoDigests: string[] } {
  const names = store.names
    .list()
    .filter(({ imageId }) => imageId === image.id)
    .map(({ name }) => name);
  const hasDigest = (name: string) => parseReference(name).digest !== undefined;
  return { repoTags: names.filter((name) => !hasDigest(name)), repoDigests: names.filter(hasDigest) };
}

/** The name that a text means in full; undefined when it is no reference. */
export function pullName(text: string): string | undefined {
  try {
    return formatReference(pullReference(parseReference(text)));
  } catch {
    return undefined;
  }
}

/** What a text means as a name; undefined for ids and for names that the node does not know. */
export function nameRecord(store: Store, text: string): NameRecord | undefined {
  const name = pullName(text);
  return name === undefined ? undefined : store.names.get(name);
}

function byName(store: Store, text: string): ImageRecord | undefined {
  const named = nameRecord(store, text);
  return named && store.images.get(named.imageId);
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
