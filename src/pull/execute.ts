import { anySignal } from '../lib/abort.ts';
import { crashPoint } from '../lib/crash-point.ts';
import { errorCode } from '../lib/errors.ts';
import { Limiter } from '../lib/limiter.ts';
import { chainIds, type Descriptor, type Digest, repositoryName } from '../oci/index.ts';
import { type ImageRecord, type Lease, type LeaseContent, requireSpace, type Store } from '../store/index.ts';
import type { PullDependencies, PullOptions } from './dependencies.ts';
import { ImageDocuments } from './documents.ts';
import { ensureLayer } from './layer-task.ts';
import { ingestKey, type LayerPlan, type PullPlan } from './plan.ts';
import type { LayerProgress, PullProgress } from './progress.ts';
import { PullWatch } from './pull-watch.ts';
import { ensureFixUp } from './rootfs.ts';
import { SharedTasks } from './shared-tasks.ts';

export interface ExecuteOptions extends PullOptions {
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
  /** Who wants the image, for the history of its name: `pod default/web`, `lading pull`. */
  readonly by?: string | undefined;
}

export interface PullResult {
  readonly imageId: Digest;
  readonly target: Descriptor;
  /** Bytes of layers that this pull got over the network. */
  readonly bytesFetched: number;
  readonly layersFetched: number;
}

/** As containerd and Docker do: more connections make a single pull no faster. @see registry.md 8.5 */
const layersAtOnce = 3;
/**
 * A layer with more of an image's bytes is split over two threads: of 80,000 small files in an image that has little else
 * took 2.3 s so instead of 2.9 s. Below it the other layers keep the second thread busy, and handing bytes over is extra
 * work: with 53 % an image took 1.54 instead of 1.35 s.
 */
const dominatingShare = 0.6;
/** A pull that takes longer has lost its way; containerd gives as long. */
const leaseExpiresMs = 24 * 60 * 60 * 1000;

/** Layers that this process is working on, per store: pulls of the same content share the work. */
const sharedLayers = new WeakMap<Store, SharedTasks<LayerProgress, number>>();

/**
 * Carries out a plan: fetches what is missing, verifies it while it streams in, unpacks each layer as soon as its blob
 * is committed, and at last makes image and name visible together. Aborted or failed, it leaves what it has for the
 * next pull to go on with; on a full disk it gives the space back.
 * @throws RegistryError; LadingError `ERR_LADING_DISK_FULL`, `ERR_LADING_DIGEST_MISMATCH`; LayerError; the
 * signal's reason when aborted
 */
export async function executePull(
  deps: PullDependencies,
  plan: PullPlan,
  options: ExecuteOptions = {},
): Promise<PullResult> {
  const { store } = deps;
  const { imageId, target } = plan;
  options.signal?.throwIfAborted();
  const names = namesOf(plan);
  // In the order of the image, before the downloads bring theirs.
  for (const { descriptor, state } of plan.layers) {
    const { digest: layer, size } = descriptor;
    options.onProgress?.(
      state === 'unpacked'
        ? { layer, size, state: 'exists', bytes: size }
        : { layer, size, state: 'waiting', bytes: 0 },
    );
  }
  if (plan.alreadyPresent && store.images.confirm(imageId, names, options.by)) {
    options.onProgress?.({ image: imageId, state: 'published' });
    return { imageId, target, bytesFetched: 0, layersFetched: 0 };
  }
  const lease = store.leases.acquire(contentOf(plan), { expiresMs: leaseExpiresMs });
  try {
    crashPoint('lease-taken');
    store.requireWritable(`pull ${plan.name}`);
    requireSpace(store.root, plan.bytesToFetch, `pull ${plan.name}`);
    if (store.unpacks) prepareToUnpack(deps, plan);
    const fetched = await fetchAll(deps, plan, options, lease);
    const diffIds = plan.layers.map(({ diffId }) => diffId);
    if (store.unpacks) await ensureFixUp(store, diffIds, options);
    options.signal?.throwIfAborted();
    store.database.transaction(() => {
      const image = imageOf(store, plan);
      if (isBetterKept(store, image)) store.images.confirm(imageId, names, options.by);
      else store.images.publish(image, names, options.by);
    });
    crashPoint('image-published');
    options.onProgress?.({ image: imageId, state: 'published' });
    return { imageId, target, ...fetched };
  } catch (error) {
    // What this does not manage the next collection does.
    if (noRoom.has(errorCode(error) ?? '')) await giveSpaceBack(store, plan, lease).catch(() => undefined);
    throw error;
  } finally {
    lease.release();
    await store.dropLayerBlobs(plan.layers);
  }
}

/** What takes a while and does not need the layers. */
function prepareToUnpack({ store, unpack }: PullDependencies, plan: PullPlan): void {
  const missing = plan.layers.filter(({ state }) => state !== 'unpacked').length;
  if (missing === 0) return;
  unpack.warmUp(missing);
  // Whoever needs it will hear of its failure.
  store.overlay().catch(() => undefined);
}

/** Documents and layers side by side. The first failure stops the others, which keep what they have. */
async function fetchAll(deps: PullDependencies, plan: PullPlan, options: ExecuteOptions, lease: Lease) {
  const stop = new AbortController();
  const watch = new PullWatch(plan.reference, deps.clock);
  const signal = anySignal(stop.signal, watch.signal, options.signal);
  const failed = (error: unknown) => {
    stop.abort(error);
    throw error;
  };
  const documents = new ImageDocuments(deps, plan.reference, { ...options, signal, watch, documents: plan.documents });
  const layers = layerWork(deps, plan, { ...options, signal, watch }, lease);
  const work = [...plan.documents.map((document) => documents.store(document).then(() => 0)), ...layers];
  const settled = await Promise.allSettled(work.map((job) => job.catch(failed)));
  options.signal?.throwIfAborted();
  if (stop.signal.aborted) throw stop.signal.reason;
  const fetched = settled.map((result) => (result.status === 'fulfilled' ? result.value : 0));
  return {
    bytesFetched: fetched.reduce((sum, bytes) => sum + bytes, 0),
    layersFetched: fetched.filter((bytes) => bytes > 0).length,
  };
}

/** One job per layer, the largest download first: it decides when the pull ends. Each resolves to its bytes fetched. */
function layerWork(
  deps: PullDependencies,
  plan: PullPlan,
  options: ExecuteOptions & { watch: PullWatch },
  lease: Lease,
): Promise<number>[] {
  const { watch } = options;
  const downloads = new Limiter(layersAtOnce);
  let shared = sharedLayers.get(deps.store);
  if (!shared) {
    shared = new SharedTasks();
    sharedLayers.set(deps.store, shared);
  }
  const onEvent = (progress: LayerProgress) => {
    // Its bytes, if it is another pull that fetches it.
    if (progress.state !== 'waiting') watch.moved();
    options.onProgress?.(progress);
  };
  const missing = plan.layers.filter(({ state }) => state !== 'unpacked');
  const missingBytes = missing.reduce((sum, { descriptor }) => sum + descriptor.size, 0);
  return largestFirst(plan.layers).map(async ({ descriptor, diffId }) => {
    const { result, mine } = await shared.run(
      `${descriptor.digest} ${diffId}`,
      (wanted, emit) => {
        // Who shares a layer with a pull that has stalled asks for it anew.
        const signal = AbortSignal.any([wanted, watch.signal]);
        const dominates = descriptor.size > missingBytes * dominatingShare;
        const task = { reference: plan.reference, descriptor, diffId, downloads, emit, dominates, lease };
        return ensureLayer(deps, { ...task, options: { ...options, signal } });
      },
      { signal: options.signal, onEvent },
    );
    return mine ? result : 0;
  });
}

function largestFirst(layers: readonly LayerPlan[]): LayerPlan[] {
  const unique = new Map(layers.map((layer) => [layer.diffId, layer]));
  return [...unique.values()].sort((a, b) => b.descriptor.size - a.descriptor.size);
}

/** The name that was asked for, and the digest, by which the image can be found when the name has moved on. */
function namesOf({ name, reference, target }: PullPlan) {
  const byDigest = `${repositoryName(reference)}@${target.digest}`;
  return [...new Set([name, byDigest])].map((each) => ({ name: each, target }));
}

function contentOf(plan: PullPlan): LeaseContent {
  const diffIds = plan.layers.map(({ diffId }) => diffId);
  return {
    digests: [...plan.documents, ...plan.layers].map(({ descriptor }) => descriptor.digest),
    diffIds,
    chainIds: chainIds(diffIds).slice(-1),
    images: [plan.imageId],
  };
}

/** Inside the transaction that publishes it: nobody removes a blob meanwhile. */
function imageOf(store: Store, plan: PullPlan): Omit<ImageRecord, 'createdAt'> {
  const layers = plan.layers.map(({ descriptor, diffId }) => {
    const isStored = store.blobs.sizeNow(descriptor.digest) === descriptor.size;
    return { descriptor, diffId, ...(isStored ? {} : { blobNotStored: true as const }) };
  });
  return {
    id: plan.imageId,
    manifest: plan.manifest,
    config: plan.config,
    layers,
    size: [plan.manifest, plan.config, ...layers.map(({ descriptor }) => descriptor)].reduce(
      (sum, { size }) => sum + size,
      0,
    ),
    ...(plan.platform ? { platform: plan.platform } : {}),
  };
}

/**
 * Whether the node has all blobs of the same image from another manifest, and not those of this one, whose layers were
 * unpacked already: what cannot be saved or pushed again must not take the place of what can be.
 */
function isBetterKept(store: Store, image: Omit<ImageRecord, 'createdAt'>): boolean {
  const known = store.images.get(image.id);
  const isStored = ({ digest, size }: Descriptor) => store.blobs.sizeNow(digest) === size;
  return (
    known !== undefined &&
    image.layers.some(({ blobNotStored }) => blobNotStored) &&
    [known.manifest, ...known.layers.map(({ descriptor }) => descriptor)].every(isStored)
  );
}

const noRoom = new Set(['ERR_LADING_DISK_FULL', 'ERR_LADING_LAYER_TOO_LARGE']);

/** What this pull has fetched is of no use while the disk is full: it goes at once, unless somebody else needs it. */
async function giveSpaceBack(store: Store, plan: PullPlan, lease: Lease): Promise<void> {
  for (const { descriptor } of plan.layers) {
    const ingest = await store.blobs.openIngest(ingestKey(descriptor.digest), { whenBusy: 'give-up' }).catch(() => {});
    await ingest?.discard();
  }
  store.images.release([...plan.documents, ...plan.layers].map(({ descriptor }) => descriptor.digest));
  lease.release();
  await store.collectGarbage();
}
