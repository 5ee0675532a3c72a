/** What an argument `IMAGE` of a command means on this node. Loads neither the registry client nor the runtimes. */
import { findImage } from '../engine/image-lookup.ts';
import { LadingError } from '../lib/errors.ts';
import { formatReference, parseReference, pullReference, type Reference } from '../oci/index.ts';
import type { ImageRecord, Store } from '../store/index.ts';

export interface FoundImage {
  readonly image: ImageRecord;
  /** The name that was asked for; undefined if the text is an id, or the beginning of one, or a digest of another name. */
  readonly name: string | undefined;
  /** All that mean the image now. */
  readonly names: readonly string[];
}

/** @throws LadingError `ERR_LADING_IMAGE_UNKNOWN`; `ERR_LADING_CRI` when the text is the beginning of several ids */
export function findImageArgument(store: Store, text: string): FoundImage {
  const image = findImage(store, text);
  if (!image) {
    throw new LadingError('ERR_LADING_IMAGE_UNKNOWN', `no image ${JSON.stringify(text)} on this node (${store.root})`, {
      hint: '`lading images` lists the images on this node, `lading pull` fetches one.',
    });
  }
  const names = store.names
    .list()
    .filter(({ imageId }) => imageId === image.id)
    .map(({ name }) => name);
  const reference = referenceIn(text);
  const name = reference && formatReference(pullReference(reference));
  return { image, name: names.find((known) => known === name), names };
}

function referenceIn(text: string): Reference | undefined {
  try {
    return parseReference(text);
  } catch {
    return undefined;
  }
}
