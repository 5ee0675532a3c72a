/** What an argument `IMAGE` of a command means on this node. Loads neither the registry client nor the runtimes. */
import { findImage } from '../engine/image-lookup.ts';
import { LadingError } from '../lib/errors.ts';
import { formatReference, parseReference, pullReference } from '../oci/index.ts';
import type { ImageRecord, NameRecord, Store } from '../store/index.ts';

export interface FoundImage {
  readonly image: ImageRecord;
  /** The name that was asked for; undefined if the text is an id, or the beginning of one. */
  readonly name: NameRecord | undefined;
  /** All that mean the image now. */
  readonly names: readonly NameRecord[];
}

/** @throws LadingError `ERR_LADING_IMAGE_UNKNOWN`; `ERR_LADING_CRI` when the text is the beginning of several ids */
export function findImageArgument(store: Store, text: string): FoundImage {
  const image = findImage(store, text);
  if (!image) {
    throw new LadingError('ERR_LADING_IMAGE_UNKNOWN', `no image ${JSON.stringify(text)} on this node (${store.root})`, {
      hint: '`lading images` lists the images on this node, `lading pull` fetches one.',
    });
  }
  const names = store.names.list().filter(({ imageId }) => imageId === image.id);
  const wanted = normalized(text);
  return { image, name: names.find(({ name }) => name === wanted), names };
}

function normalized(text: string): string | undefined {
  try {
    return formatReference(pullReference(parseReference(text)));
  } catch {
    return undefined;
  }
}
