/** What this node has under a name and what the registry says about it now: the facts of an explanation. Changes nothing. */
import { type PodCredential, withCredentials } from '../agent/index.ts';
import type { AuthConfig } from '../cri/messages.ts';
import { criCredential } from '../engine/cri-credential.ts';
import { findImage } from '../engine/image-lookup.ts';
import { errorCode, errorHint, errorMessage } from '../lib/errors.ts';
import { formatPlatform, formatReference, isIndexType, parseManifest, type Reference } from '../oci/index.ts';
import type { NodeImageFacts, RegistryFacts } from '../policy/index.ts';
import { isImageComplete, isLayerHere, type PullDependencies, type PullPlan, planPull } from '../pull/index.ts';
import { RegistryError } from '../registry/index.ts';
import type { Store } from '../store/index.ts';

export interface ImageFacts {
  readonly registry: RegistryFacts;
  /** The one that the registry accepted, of those that were given. */
  readonly accepted?: PodCredential | undefined;
}

export interface AskOptions {
  readonly signal?: AbortSignal | undefined;
  /** Tried in order; without any those that the registry client finds. */
  readonly credentials?: readonly PodCredential[];
}

/** @param reference as `pullReference` gives it */
export async function localFacts(store: Store, reference: Reference): Promise<NodeImageFacts | undefined> {
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

/** @param reference as `pullReference` gives it */
export async function registryFacts(
  deps: Pick<PullDependencies, 'store' | 'registry'>,
  reference: Reference,
  { signal, credentials = [] }: AskOptions,
): Promise<Pick<ImageFacts, 'registry' | 'accepted'>> {
  try {
    const plan = ({ auth }: { auth?: AuthConfig }) => {
      const credential = auth && criCredential(auth);
      return planPull(deps, reference, { signal, ...(credential ? { credentials: [credential] } : {}) });
    };
    const { result, credential } = await withCredentials(credentials, plan, signal);
    return {
      registry: { ...answerOf(result), ...(await offeredBy(deps.store, result).catch(() => ({}))) },
      accepted: credential,
    };
  } catch (error) {
    if (signal?.aborted) throw error;
    return { registry: failureOf(error) };
  }
}

function answerOf(plan: PullPlan): Extract<RegistryFacts, { reachable: true }> {
  return {
    reachable: true,
    digest: plan.target.digest,
    imageId: plan.imageId,
    responseMs: Math.round(plan.responseMs * 10) / 10,
    layersToFetch: plan.layersToFetch,
    bytesToFetch: plan.bytesToFetch,
    ...(plan.platform ? { platform: formatPlatform(plan.platform) } : {}),
    ...(plan.warnings.length > 0 ? { warnings: plan.warnings } : {}),
  };
}

/** Attestations and the like, which say `unknown/unknown`, are for nobody to run. */
async function offeredBy(store: Store, { target, documents }: PullPlan): Promise<{ platforms?: string[] }> {
  if (!isIndexType(target.mediaType)) return {};
  const received = documents.find(({ descriptor }) => descriptor.digest === target.digest)?.bytes;
  const index = parseManifest(received ?? (await store.blobs.read(target.digest, { maxBytes: target.size })));
  if (index.kind !== 'index') return {};
  const platforms = index.manifests.flatMap(({ platform }) => (platform ? [formatPlatform(platform)] : []));
  return { platforms: [...new Set(platforms)].filter((platform) => platform !== 'unknown/unknown') };
}

function failureOf(error: unknown): RegistryFacts {
  const hint = errorHint(error);
  return {
    reachable: false,
    refused: !(error instanceof RegistryError && error.data.unreachable),
    reason: errorMessage(error),
    code: errorCode(error) ?? 'ERR_LADING_PULL',
    ...(hint ? { hint } : {}),
  };
}
