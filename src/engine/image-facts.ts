/** What this node has under a name and what the registry says about it now: the facts of an explanation. Changes nothing. */
import { errorCode, errorMessage, LadingError } from '../lib/errors.ts';
import { type Digest, formatPlatform, formatReference, type Reference } from '../oci/index.ts';
import { type PullDependencies, planPull } from '../pull/index.ts';
import { RegistryError } from '../registry/index.ts';
import type { Store } from '../store/index.ts';
import { findImage } from './image-lookup.ts';

export interface LocalImageFacts {
  /** Of what the name means on this node: the index or manifest. */
  readonly digest: Digest;
  readonly imageId: Digest;
  /** ISO 8601; when the name began to mean this digest here. */
  readonly pulledAt: string;
  /** ISO 8601; when the registry last said that the name means this digest. */
  readonly checkedAt: string;
  readonly layersUnpacked: number;
  readonly layersTotal: number;
  readonly platform?: string;
}

export type RegistryImageFacts =
  | {
      readonly reachable: true;
      readonly digest: Digest;
      /** Of the request that resolved the name. */
      readonly responseMs: number;
      readonly layersToFetch: number;
      readonly bytesToFetch: number;
      readonly platform?: string;
    }
  | {
      readonly reachable: false;
      /** Whether the registry answered, and its answer was no. */
      readonly refused: boolean;
      readonly reason: string;
      readonly code: string;
      readonly hint?: string;
    };

export interface ImageFacts {
  readonly node?: LocalImageFacts;
  readonly registry: RegistryImageFacts;
}

/** @param reference as `pullReference` gives it */
export async function gatherImageFacts(
  deps: Pick<PullDependencies, 'store' | 'registry'>,
  reference: Reference,
  options: { signal?: AbortSignal | undefined } = {},
): Promise<ImageFacts> {
  const node = localFacts(deps.store, reference);
  const registry = await registryFacts(deps, reference, options);
  return { registry, ...(node ? { node } : {}) };
}

function localFacts(store: Store, reference: Reference): LocalImageFacts | undefined {
  const name = formatReference(reference);
  const image = findImage(store, name);
  if (!image) return undefined;
  const record = store.names.get(name);
  return {
    digest: record?.target.digest ?? reference.digest ?? image.manifest.digest,
    imageId: image.id,
    pulledAt: record?.firstSeen ?? image.createdAt,
    checkedAt: record?.lastSeen ?? image.createdAt,
    layersUnpacked: image.layers.filter(({ diffId }) => store.layers.has(diffId)).length,
    layersTotal: image.layers.length,
    ...(image.platform ? { platform: formatPlatform(image.platform) } : {}),
  };
}

async function registryFacts(
  deps: Pick<PullDependencies, 'store' | 'registry'>,
  reference: Reference,
  options: { signal?: AbortSignal | undefined },
): Promise<RegistryImageFacts> {
  try {
    const plan = await planPull(deps, reference, options);
    return {
      reachable: true,
      digest: plan.target.digest,
      responseMs: plan.responseMs,
      layersToFetch: plan.layersToFetch,
      bytesToFetch: plan.bytesToFetch,
      ...(plan.platform ? { platform: formatPlatform(plan.platform) } : {}),
    };
  } catch (error) {
    if (options.signal?.aborted) throw error;
    const hint = error instanceof LadingError ? error.hint : undefined;
    return {
      reachable: false,
      refused: !(error instanceof RegistryError && error.data.unreachable),
      reason: errorMessage(error),
      code: errorCode(error) ?? 'ERR_LADING_PULL',
      ...(hint ? { hint } : {}),
    };
  }
}
