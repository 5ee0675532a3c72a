import { anySignal } from '../lib/abort.ts';
import type { Digest } from '../oci/index.ts';
import type { Lease } from '../store/index.ts';
import { type BlobTask, ensureBlob } from './blob-task.ts';
import type { PullDependencies } from './dependencies.ts';
import { EarlyUnpack } from './early-unpack.ts';
import { isLayerHere } from './image-complete.ts';
import type { LayerProgress } from './progress.ts';
import { streamLayer } from './stream-layer.ts';
import { publish, unpackLayer, unpackUnpublished } from './unpack-task.ts';

/** A layer that has to be on this node, unpacked. */
export interface LayerTask extends BlobTask {
  readonly diffId: Digest;
  readonly emit: (progress: LayerProgress) => void;
  /** More than all others of the image together: it decides how long the pull takes. */
  readonly dominates: boolean;
  /** Of the pull that does the work. */
  readonly lease: Lease;
}

export type Emit = (state: LayerProgress['state'], bytes: number) => void;

/**
 * Fetches a layer's blob if it is not stored; where the node unpacks, unpacks it and publishes it.
 * @returns bytes that came over the network
 */
export async function ensureLayer(deps: PullDependencies, task: LayerTask): Promise<number> {
  const { descriptor } = task;
  const emit: Emit = (state, bytes) => task.emit({ layer: descriptor.digest, size: descriptor.size, state, bytes });
  if (await isLayerHere(deps.store, task)) {
    emit('exists', descriptor.size);
    return 0;
  }
  emit('waiting', 0);
  const fetched = await work(deps, task, emit);
  await deps.store.dropLayerBlobs([task], task.lease);
  emit('done', descriptor.size);
  return fetched;
}

async function work(deps: PullDependencies, task: LayerTask, emit: Emit): Promise<number> {
  if (!deps.store.unpacks) return ensureBlob(deps, task, emit);
  const { digest, size } = task.descriptor;
  const isStored = (await deps.store.blobs.size(digest)) === size;
  return deps.store.keepCompressedLayers === 'never' && !isStored
    ? streamLayer(deps, task, emit)
    : fetchAndUnpack(deps, task, emit);
}

/** Unpacks while the blob comes in, if possible. */
async function fetchAndUnpack(deps: PullDependencies, task: LayerTask, emit: Emit): Promise<number> {
  let isStored = false;
  const onProgress = (bytes: number) => {
    // One state at a time: what is unpacked of a blob that still comes in is nobody's concern.
    if (isStored) emit('unpacking', bytes);
  };
  const { signal } = task.options;
  const early = new EarlyUnpack((growing, stop) => {
    const options = { signal: anySignal(signal, stop) };
    return unpackUnpublished(deps, { ...task, options, growing }, onProgress);
  }, task.descriptor.size);
  let fetched: number;
  try {
    fetched = await ensureBlob(deps, { ...task, onDownload: (file, growing) => early.begin(file, growing) }, emit);
  } catch (error) {
    await early.abandon(error);
    throw error;
  }
  isStored = true;
  onProgress(0);
  const unpacked = await early.take();
  if (unpacked) await publish(unpacked);
  else {
    try {
      await unpackLayer(deps, task, onProgress);
    } catch (error) {
      if (fetched > 0 || !(await throwAwayIfDamaged(deps, task))) throw error;
      return fetchAndUnpack(deps, task, emit);
    }
  }
  return fetched;
}

/** A blob that was stored before may have been damaged since: then it is fetched again. @see layers.md 17 */
async function throwAwayIfDamaged({ store }: PullDependencies, { descriptor, options }: LayerTask): Promise<boolean> {
  if (options.signal?.aborted || (await store.blobs.damage(descriptor.digest)) === undefined) return false;
  await store.trash.remove(store.blobs.path(descriptor.digest));
  return true;
}
