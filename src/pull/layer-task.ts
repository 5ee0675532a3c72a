import type { Descriptor, Digest } from '../oci/index.ts';
import type { GrowingBlob } from '../unpack/index.ts';
import { type BlobTask, ensureBlob } from './blob-task.ts';
import type { PullDependencies, PullOptions } from './dependencies.ts';
import { EarlyUnpack, type UnpackedLayer } from './early-unpack.ts';
import { isLayerHere } from './image-complete.ts';
import type { LayerProgress } from './progress.ts';

/** A layer that has to be on this node, unpacked. */
export interface LayerTask extends BlobTask {
  readonly diffId: Digest;
  readonly emit: (progress: LayerProgress) => void;
  /** More than all others of the image together: it decides how long the pull takes. */
  readonly dominates: boolean;
}

type Emit = (state: LayerProgress['state'], bytes: number) => void;

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
  const fetched = await (deps.store.unpacks ? fetchAndUnpack(deps, task, emit) : ensureBlob(deps, task, emit));
  emit('done', descriptor.size);
  return fetched;
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
    const options = { signal: signal ? AbortSignal.any([signal, stop]) : stop };
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
  else await unpackLayer(deps, task, onProgress);
  return fetched;
}

interface UnpackTask {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  readonly options: Pick<PullOptions, 'signal'>;
  readonly growing?: GrowingBlob;
  readonly dominates?: boolean;
}

/**
 * Unpacks a stored blob into the layer `diffId` and publishes that.
 * @throws LayerError; LadingError `ERR_LADING_DIGEST_MISMATCH` if it unpacks to another layer
 */
export async function unpackLayer(
  deps: Pick<PullDependencies, 'store' | 'unpack'>,
  task: UnpackTask,
  onProgress: (bytes: number) => void = () => {},
): Promise<void> {
  const unpacked = await unpackUnpublished(deps, task, onProgress);
  if (unpacked) await publish(unpacked);
}

/** @returns undefined if the layer is there (now) */
async function unpackUnpublished(
  { store, unpack }: Pick<PullDependencies, 'store' | 'unpack'>,
  { descriptor, diffId, options, growing, dominates }: UnpackTask,
  onProgress: (bytes: number) => void,
): Promise<UnpackedLayer | undefined> {
  const overlay = await store.overlay();
  const writer = await store.layers.prepare(diffId, options);
  if (!writer) return undefined;
  try {
    const facts = await unpack.unpack(
      {
        blobPath: store.blobs.path(descriptor.digest),
        growing,
        mediaType: descriptor.mediaType,
        diffId,
        targetDir: writer.dir,
        entriesFile: writer.entriesFile,
        overlay,
        inTwoThreads: dominates,
      },
      { signal: options.signal, onProgress },
    );
    return { writer, facts };
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

async function publish({ writer, facts }: UnpackedLayer): Promise<void> {
  try {
    await writer.publish(facts);
  } catch (error) {
    await writer.discard();
    throw error;
  }
}
