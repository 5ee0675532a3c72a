import type { Descriptor, Digest } from '../oci/index.ts';
import { type BlobTask, ensureBlob } from './blob-task.ts';
import type { PullDependencies, PullOptions } from './dependencies.ts';
import { isLayerHere } from './image-complete.ts';
import type { LayerProgress } from './progress.ts';

/** A layer that has to be on this node, unpacked. */
export interface LayerTask extends BlobTask {
  readonly diffId: Digest;
  readonly emit: (progress: LayerProgress) => void;
}

/**
 * Fetches a layer's blob if it is not stored; where the node unpacks, unpacks it and publishes it.
 * @returns bytes that came over the network
 */
export async function ensureLayer(deps: PullDependencies, task: LayerTask): Promise<number> {
  const { descriptor } = task;
  const emit = (state: LayerProgress['state'], bytes: number) =>
    task.emit({ layer: descriptor.digest, size: descriptor.size, state, bytes });
  if (await isLayerHere(deps.store, task)) {
    emit('exists', descriptor.size);
    return 0;
  }
  emit('waiting', 0);
  const fetched = await ensureBlob(deps, task, emit);
  if (deps.store.unpacks) await unpackLayer(deps, task, (bytes) => emit('unpacking', bytes));
  emit('done', descriptor.size);
  return fetched;
}

/**
 * Unpacks a stored blob into the layer `diffId` and publishes that.
 * @throws LayerError; LadingError `ERR_LADING_DIGEST_MISMATCH` if it unpacks to another layer
 */
export async function unpackLayer(
  { store, unpack }: Pick<PullDependencies, 'store' | 'unpack'>,
  layer: { descriptor: Descriptor; diffId: Digest; options: Pick<PullOptions, 'signal'> },
  onProgress: (bytes: number) => void = () => {},
): Promise<void> {
  const { descriptor, diffId, options } = layer;
  const overlay = await store.overlay();
  const writer = await store.layers.prepare(diffId, options);
  if (!writer) return;
  try {
    onProgress(0);
    const facts = await unpack.unpack(
      {
        blobPath: store.blobs.path(descriptor.digest),
        mediaType: descriptor.mediaType,
        diffId,
        targetDir: writer.dir,
        entriesFile: writer.entriesFile,
        overlay,
      },
      { signal: options.signal, onProgress },
    );
    await writer.publish(facts);
  } catch (error) {
    await writer.discard();
    throw error;
  }
}
