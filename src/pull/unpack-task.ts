import { LadingError } from '../lib/errors.ts';
import type { Descriptor, Digest } from '../oci/index.ts';
import type { LayerWriter } from '../store/index.ts';
import { type GrowingBlob, LayerError } from '../unpack/index.ts';
import type { PullDependencies, PullOptions } from './dependencies.ts';
import type { UnpackedLayer } from './early-unpack.ts';

interface UnpackTask {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** `replace`: unpacks it also if it is there. */
  readonly options: Pick<PullOptions, 'signal'> & { readonly replace?: boolean | undefined };
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
    throw namingLayer(error, descriptor.digest);
  }
}

/** What reads a layer does not know which one of the image it is. */
function namingLayer(error: unknown, digest: Digest): unknown {
  if (!(error instanceof LadingError)) return error;
  const { hint, cause, data } = error;
  const message = `layer ${digest}: ${error.message}`;
  if (error instanceof LayerError) return new LayerError(error.class, message, { ...(hint && { hint }), cause });
  if (error.code === 'ERR_LADING_DISK_FAILING') return new LadingError(error.code, message, { hint, cause, data });
  return error;
}

export async function publish({ writer, facts }: UnpackedLayer): Promise<void> {
  try {
    await writer.publish(facts);
  } catch (error) {
    await writer.discard();
    throw error;
  }
}
