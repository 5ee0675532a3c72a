/** What this node has under a name and what the registry says about it now: the facts of an explanation. Changes nothing. */
import { findImage } from '../engine/image-lookup.ts';
import { errorCode, errorHint, errorMessage } from '../lib/errors.ts';
import { formatPlatform, formatReference, type Reference } from '../oci/index.ts';
import type { NodeImageFacts, RegistryFacts } from '../policy/index.ts';
import { isImageComplete, isLayerHere, type PullDependencies, planPull } from '../pull/index.ts';
import { RegistryError } from '../registry/index.ts';
import type { Store } from '../store/index.ts';

export interface ImageFacts {
  readonly node?: NodeImageFacts;
  readonly registry: RegistryFacts;
}

/** @param reference as `pullReference` gives it */
export async function gatherImageFacts(
  deps: Pick<PullDependencies, 'store' | 'registry'>,
  reference: Reference,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ImageFacts> {
  const node = await localFacts(deps.store, reference);
  const registry = await registryFacts(deps, reference, options);
  return { registry, ...(node ? { node } : {}) };
}

async function localFacts(store: Store, reference: Reference): Promise<NodeImageFacts | undefined> {
  const name = formatReference(reference);
  const image = findImage(store, name);
  if (!image) return undefined;
  const layersHere = await Promise.all(image.layers.map((layer) => isLayerHere(store, layer)));
  const layersUnpacked = layersHere.filter(Boolean).length;
  // Its documents are lost: that counts as absent too.
  if (layersUnpacked === image.layers.length && !(await isImageComplete(store, image))) return undefined;
  const record = store.names.get(name);
  return {
    digest: record?.target.digest ?? reference.digest ?? image.manifest.digest,
    imageId: image.id,
    pulledAt: record?.firstSeen ?? image.createdAt,
    checkedAt: record?.lastSeen ?? image.createdAt,
    layersUnpacked,
    layersTotal: image.layers.length,
    ...(image.platform ? { platform: formatPlatform(image.platform) } : {}),
  };
}

async function registryFacts(
  deps: Pick<PullDependencies, 'store' | 'registry'>,
  reference: Reference,
  options: { signal?: AbortSignal | undefined },
): Promise<RegistryFacts> {
  try {
    const plan = await planPull(deps, reference, options);
    return {
      reachable: true,
      digest: plan.target.digest,
      responseMs: Math.round(plan.responseMs * 10) / 10,
      layersToFetch: plan.layersToFetch,
      bytesToFetch: plan.bytesToFetch,
      ...(plan.platform ? { platform: formatPlatform(plan.platform) } : {}),
    };
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const hint = errorHint(error);
    return {
      reachable: false,
      refused: !(error instanceof RegistryError && error.data.unreachable),
      reason: errorMessage(error),
      code: errorCode(error) ?? 'ERR_LADING_PULL',
      ...(hint ? { hint } : {}),
    };
  }
}
