import type { Descriptor, Digest } from '../oci/index.ts';
import type { LayerWriter } from '../store/index.ts';
import type { GrowingBlob } from '../unpack/index.ts';
import type { PullDependencies, PullOptions } from './dependencies.ts';
import type { UnpackedLayer } from './early-unpack.ts';

interface UnpackTask {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  readonly options: Pick<PullOptions, 'signal'>;
  readonly growing?: GrowingBlob;
  /** Memory of the `BytePipe` that the blob comes through. */
  readonly piped?: SharedArrayBuffer;
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
export async function unpackUnpublished(
  deps: Pick<PullDependencies, 'store' | 'unpack'>,
  task: UnpackTask,
  onProgress: (bytes: number) => void,
): Promise<UnpackedLayer | undefined> {
  const writer = await deps.store.layers.prepare(task.diffId, task.options);
  return writer && unpackInto(deps, writer, task, onProgress);
}

/** Leaves nothing behind when it fails. */
export async function unpackInto(
  { store, unpack }: Pick<PullDependencies, 'store' | 'unpack'>,
  writer: LayerWriter,
  { descriptor, diffId, options, growing, piped, dominates }: UnpackTask,
  onProgress: (bytes: number) => void = () => {},
): Promise<UnpackedLayer> {
  try {
    const overlay = await store.overlay();
    const facts = await unpack.unpack(
      {
        blobPath: store.blobs.path(descriptor.digest),
        growing,
        piped,
        mediaType: descriptor.mediaType,
        diffId,
        targetDir: writer.dir,
        entriesFile: writer.entriesFile,
        overlay,
        inTwoThreads: dominates,
      },
      { signal: options.signal, onProgress, size: descriptor.size },
    );
    return { writer, facts };
  } catch (error) {
    await writer.discard();
    throw error;
  }
}

export async function publish({ writer, facts }: UnpackedLayer): Promise<void> {
  try {
    await writer.publish(facts);
  } catch (error) {
    await writer.discard();
    throw error;
  }
}
