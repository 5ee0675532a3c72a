import type { Descriptor, Digest } from '../oci/index.ts';
import type { ImageRecord, Store } from '../store/index.ts';

/**
 * Whether containers can be made of an image without a registry: its layers are unpacked, its manifest and
 * configuration stored; on a node that does not unpack, all blobs are stored. What is incomplete counts as absent, for
 * whoever asks.
 */
export async function isImageComplete(store: Store, image: ImageRecord): Promise<boolean> {
  const layers = await Promise.all(image.layers.map((layer) => isLayerHere(store, layer)));
  if (!layers.every(Boolean)) return false;
  const documents = [image.manifest, image.config].map(
    async ({ digest, size }) => (await store.blobs.size(digest)) === size,
  );
  return (await Promise.all(documents)).every(Boolean);
}

/** Whether a layer needs no work any more. */
export async function isLayerHere(store: Store, layer: { descriptor: Descriptor; diffId: Digest }): Promise<boolean> {
  const { digest, size } = layer.descriptor;
  return store.unpacks ? store.layers.has(layer.diffId) : (await store.blobs.size(digest)) === size;
}
