import type { ImageRecord, Store } from '../store/index.ts';

/**
 * Whether containers can be made of an image without a registry: its layers are unpacked, its manifest and
 * configuration stored. What is incomplete counts as absent, for whoever asks.
 */
export async function isImageComplete(store: Store, image: ImageRecord): Promise<boolean> {
  if (!image.layers.every(({ diffId }) => store.layers.has(diffId))) return false;
  const documents = [image.manifest, image.config].map(
    async ({ digest, size }) => (await store.blobs.size(digest)) === size,
  );
  return (await Promise.all(documents)).every(Boolean);
}
