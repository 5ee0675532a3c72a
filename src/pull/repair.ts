import { errorMessage, LadingError } from '../lib/errors.ts';
import { Limiter } from '../lib/limiter.ts';
import { type Descriptor, isIndexType, isManifestType, parseReference } from '../oci/index.ts';
import type { RepairHooks } from '../store/index.ts';
import { verifyLayer } from '../unpack/index.ts';
import { ensureBlob } from './blob-task.ts';
import type { PullDependencies, PullOptions } from './dependencies.ts';
import { ImageDocuments } from './documents.ts';
import { unpackLayer } from './unpack-task.ts';

/** How `Store.check` compares an unpacked layer with the record of its entries, contents included. */
export async function layerDeviations(
  layer: { dir: string; entriesFile: string },
  { signal }: { signal?: AbortSignal | undefined } = {},
): Promise<string[]> {
  const deviations: string[] = [];
  for await (const { path, problem } of verifyLayer(layer.dir, layer.entriesFile, { content: true, signal })) {
    deviations.push(`${Buffer.from(path, 'latin1').toString()}: ${problem}`);
  }
  return deviations;
}

/** How `Store.check` gets back what is damaged: blobs from their registries, layers from their blobs. */
export function repairHooks(deps: PullDependencies, options: PullOptions = {}): RepairHooks {
  return {
    fetchBlob: (blob, names) => fetchBlobByNames(deps, blob, names, options),
    unpackLayer: (diffId, descriptor) =>
      unpackLayer(deps, { descriptor, diffId, options: { ...options, replace: true } }),
  };
}

/**
 * Gets a blob of an image into the store from the first registry that has it.
 * @param names of the image on this node
 * @throws LadingError `ERR_LADING_REPAIR_FAILED`
 */
export async function fetchBlobByNames(
  deps: Pick<PullDependencies, 'store' | 'registry'>,
  blob: Descriptor,
  names: readonly string[],
  options: PullOptions = {},
): Promise<void> {
  const reasons: unknown[] = [];
  for (const name of names) {
    try {
      await fetchFrom(deps, blob, name, options);
      return;
    } catch (error) {
      options.signal?.throwIfAborted();
      reasons.push(error);
    }
  }
  throw new LadingError(
    'ERR_LADING_REPAIR_FAILED',
    names.length === 0
      ? `no name of this node leads to a registry that has ${blob.digest}`
      : `${blob.digest} could not be fetched again: ${reasons.map(errorMessage).join('; ')}`,
    { cause: reasons.at(-1), hint: 'Pull the image again when its registry can be reached.' },
  );
}

async function fetchFrom(
  deps: Pick<PullDependencies, 'store' | 'registry'>,
  blob: Descriptor,
  name: string,
  options: PullOptions,
): Promise<void> {
  const reference = parseReference(name);
  if (isManifestType(blob.mediaType) || isIndexType(blob.mediaType)) {
    await new ImageDocuments(deps, reference, options).store({ descriptor: blob, kind: 'manifest' });
  } else {
    await ensureBlob(deps, { reference, descriptor: blob, downloads: new Limiter(1), options });
  }
}
