import { crashPoint } from '../lib/crash-point.ts';
import type { Digest } from '../oci/digest.ts';
import { digestsOf, type ImageLayer, type ImageRecord } from './images.ts';
import type { Lease } from './leases.ts';
import type { StoreParts } from './store-parts.ts';

/**
 * What becomes of the blob of a layer, which only copying and mirroring images needs once the layer is unpacked:
 * `always` keeps it, `untilUnpacked` removes it as soon as the layer is published, `never` does not even store it.
 */
export type KeepCompressedLayers = 'always' | 'untilUnpacked' | 'never';

/** Tells which blobs of an image this node wants to have. */
export function neededBlobs({ layers, keepCompressedLayers }: StoreParts): (image: ImageRecord) => Digest[] {
  if (keepCompressedLayers === 'always') return digestsOf;
  const unpacked = new Set<string>(layers.list().map(({ diffId }) => diffId));
  return (image) => blobsOf(image, ({ diffId }) => !unpacked.has(diffId));
}

/** The blobs that an image has on this node, according to its record. */
export function claimedBlobs(image: ImageRecord): Digest[] {
  return blobsOf(image, ({ blobNotStored }) => !blobNotStored);
}

function blobsOf(image: ImageRecord, isWanted: (layer: ImageLayer) => boolean): Digest[] {
  const layers = image.layers.filter(isWanted);
  return [image.manifest, image.config, ...layers.map(({ descriptor }) => descriptor)].map(({ digest }) => digest);
}

/** Writes down which blobs of an image are not kept any more, so that nobody misses them. */
export function forgetLayerBlobs(
  { images }: Pick<StoreParts, 'images'>,
  image: ImageRecord,
  isDropped: (layer: ImageLayer) => boolean,
): void {
  const layers = image.layers.map((layer) => (isDropped(layer) ? { ...layer, blobNotStored: true as const } : layer));
  if (layers.some((layer, index) => layer !== image.layers[index])) images.put({ ...image, layers });
}

/**
 * Removes the blobs of layers that are unpacked, if that is the policy of the store, unless somebody else holds a lease
 * on them: whoever does removes them in turn, or the next collection.
 * @param own a lease that does not count
 * @see layers.md 14 ("remove the blob only after the layer's row is committed")
 */
export async function dropLayerBlobs(
  store: StoreParts,
  layers: readonly Pick<ImageLayer, 'descriptor' | 'diffId'>[],
  own?: Lease,
): Promise<void> {
  if (store.keepCompressedLayers === 'always') return;
  const unpacked = layers.filter(({ diffId }) => store.layers.has(diffId));
  const digests = new Set(unpacked.map(({ descriptor }) => descriptor.digest));
  if (digests.size === 0) return;
  const free = () => {
    const leased = store.leases.keys('blob', { except: own });
    return new Set([...digests].filter((digest) => !leased.has(digest)));
  };
  // Rows first: a kill between the two leaves a blob that nobody misses.
  store.database.removal(() => {
    const dropped = free();
    for (const image of store.images.list()) {
      forgetLayerBlobs(
        store,
        image,
        ({ descriptor, blobNotStored }) => !blobNotStored && dropped.has(descriptor.digest),
      );
    }
  });
  crashPoint('layer-blobs-forgotten');
  const taken = store.database.removal(() => {
    const claimed = new Set(store.images.list().flatMap(claimedBlobs));
    return [...free()]
      .filter((digest) => !claimed.has(digest))
      .map((digest) => store.trash.take(store.blobs.path(digest)));
  });
  crashPoint('layer-blobs-taken');
  for (const path of taken) if (path !== undefined) await store.trash.delete(path);
}
