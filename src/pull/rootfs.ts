import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { LadingError } from '../lib/errors.ts';
import { chainIds, type Digest } from '../oci/index.ts';
import type { ImageRecord, Store } from '../store/index.ts';
import { buildFixUp, lowerDirectories } from '../unpack/index.ts';
import type { PullDependencies } from './dependencies.ts';

/**
 * The directories that make up the root file system of an image, to be stacked with overlayfs: topmost first, the
 * fix-up layer of the chain included.
 * @throws LadingError `ERR_LADING_IMAGE_MISSING`, `ERR_LADING_IMAGE_INCOMPLETE`: nothing is started on half an image
 */
export async function rootfsOf({ store }: { store: Store }, imageId: Digest): Promise<{ lowers: string[] }> {
  const image = completeImage(store, imageId);
  if (image.layers.length === 0) return { lowers: [await emptyDirectory(store)] };
  const fixUp = await ensureFixUp(
    store,
    image.layers.map(({ diffId }) => diffId),
  );
  return { lowers: lowerDirectories(await unpackedLayers(store, image), fixUp) };
}

/**
 * Copies the root file system of an image into an empty directory, where overlayfs does not work.
 * @throws as `rootfsOf`
 */
export async function copyRootfs(
  { store, unpack }: Pick<PullDependencies, 'store' | 'unpack'>,
  imageId: Digest,
  targetDir: string,
): Promise<void> {
  const image = completeImage(store, imageId);
  await unpack.merge({ layers: await unpackedLayers(store, image), targetDir });
}

/**
 * Works out whether a chain of layers needs a fix-up layer and builds it, once per chain.
 * @param diffIds bottom first
 * @returns its directory; undefined if the chain needs none
 * @see layers.md 19
 */
export async function ensureFixUp(
  store: Store,
  diffIds: readonly Digest[],
  options: { signal?: AbortSignal | undefined } = {},
): Promise<string | undefined> {
  const chainId = chainIds(diffIds).at(-1);
  if (chainId === undefined) return undefined;
  if (store.fixUps.state(chainId) === 'unknown') await buildFixUpOf(store, chainId, diffIds, options);
  return store.fixUps.state(chainId) === 'needed' ? store.fixUps.dir(chainId) : undefined;
}

async function buildFixUpOf(
  store: Store,
  chainId: Digest,
  diffIds: readonly Digest[],
  options: { signal?: AbortSignal | undefined },
): Promise<void> {
  const writer = await store.fixUps.prepare(chainId, options);
  if (!writer) return;
  try {
    const layers = await Promise.all(diffIds.map((diffId) => unpackedLayer(store, diffId)));
    const needed = await buildFixUp(layers, writer);
    await (needed ? writer.publish() : writer.notNeeded());
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

function completeImage(store: Store, imageId: Digest): ImageRecord {
  const image = store.images.get(imageId);
  if (!image) {
    throw new LadingError('ERR_LADING_IMAGE_MISSING', `image ${imageId} is not on this node`, {
      hint: 'Pull it first.',
      data: { imageId },
    });
  }
  const missing = image.layers.find(({ diffId }) => !store.layers.has(diffId));
  if (!missing) return image;
  throw new LadingError(
    'ERR_LADING_IMAGE_INCOMPLETE',
    `image ${imageId} is not complete on this node: layer ${missing.diffId} is not unpacked`,
    { hint: 'Pull it again, or run `lading check --repair`.', data: { imageId, diffId: missing.diffId } },
  );
}

function unpackedLayers(store: Store, image: ImageRecord) {
  return Promise.all(image.layers.map(({ diffId }) => unpackedLayer(store, diffId)));
}

async function unpackedLayer(store: Store, diffId: Digest) {
  return { dir: store.layers.dir(diffId), facts: await store.layers.facts(diffId) };
}

/** overlayfs wants at least one lower directory; an image may have no layers at all. */
async function emptyDirectory(store: Store): Promise<string> {
  const path = join(store.stateFolder, 'empty');
  await mkdir(path, { recursive: true, mode: 0o755 });
  return path;
}
