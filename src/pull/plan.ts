import { anySignal } from '../lib/abort.ts';
import { LadingError } from '../lib/errors.ts';
import {
  configPlatform,
  containerPlatform,
  type Descriptor,
  type Digest,
  digestAlgorithm,
  digestHex,
  formatPlatform,
  formatReference,
  type ImageConfig,
  type ImageManifest,
  isImageConfigType,
  matchPlatform,
  type Platform,
  parseImageConfig,
  type Reference,
} from '../oci/index.ts';
import type { ImageRecord, Store } from '../store/index.ts';
import { layerCompression } from '../unpack/layer-media-types.ts';
import { maxLayers } from '../unpack/limits.ts';
import type { PullDependencies, PullOptions } from './dependencies.ts';
import { type ImageDocument, ImageDocuments } from './documents.ts';
import { isImageComplete } from './image-complete.ts';
import { type ChosenManifest, chooseManifest } from './platform-choice.ts';
import { PullWatch } from './pull-watch.ts';

/** What a layer needs to be usable on this node. */
export interface LayerPlan {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** `stored`: its blob is here; `partial`: the beginning of it. */
  readonly state: 'unpacked' | 'stored' | 'partial' | 'missing';
  /** Each blob is counted once, however often the image has the layer. */
  readonly bytesToFetch: number;
}

/** What a pull would do, in bytes, before it does anything. */
export interface PullPlan {
  /** As `pullReference` gives it. */
  readonly reference: Reference;
  readonly name: string;
  /** What the name means at the registry: an index or a manifest. */
  readonly target: Descriptor;
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  readonly imageId: Digest;
  /** What the image's configuration says it runs on. */
  readonly platform?: Platform;
  /** Bottom first. */
  readonly layers: readonly LayerPlan[];
  readonly layersToFetch: number;
  readonly bytesToFetch: number;
  /** The image is complete on this node; at most its name changes. */
  readonly alreadyPresent: boolean;
  /** Milliseconds that the registry took to say what the name means. */
  readonly responseMs: number;
  /** Indexes, manifest, configuration. */
  readonly documents: readonly ImageDocument[];
  /** One sentence each. */
  readonly warnings: readonly string[];
}

export interface PlanOptions extends PullOptions {
  /** What the image has to run on; what containers on this machine run unless given. */
  readonly platform?: Platform | undefined;
  /** Called when the registry has said what the name means, before anything else is asked for. */
  readonly onResolved?: ((target: Descriptor) => void) | undefined;
}

/**
 * Finds out what a pull would do. Writes nothing. What the store has is not asked for again: if the name means what it
 * did, that is one HEAD and nothing else.
 * @param reference as `pullReference` gives it
 * @throws RegistryError; LadingError `ERR_LADING_PLATFORM_NOT_AVAILABLE`, `ERR_LADING_NOT_AN_IMAGE`,
 * `ERR_LADING_MANIFEST_INVALID`, `ERR_LADING_MANIFEST_SCHEMA1`, `ERR_LADING_IMAGE_CONFIG_INVALID`,
 * `ERR_LADING_LAYER_UNSUPPORTED_MEDIA_TYPE`, `ERR_LADING_TOO_MANY_LAYERS`
 */
export async function planPull(
  deps: Pick<PullDependencies, 'store' | 'registry' | 'clock'>,
  reference: Reference,
  options: PlanOptions = {},
): Promise<PullPlan> {
  const { store, registry } = deps;
  const { credentials } = options;
  const watch = new PullWatch(reference, deps.clock);
  const signal = anySignal(options.signal, watch.signal);
  const call = { signal, watch, credentials };
  const { descriptor: said, responseMs, content } = await registry.resolve(reference, call);
  options.onResolved?.(said);
  const common = { reference, name: formatReference(reference), responseMs };

  const known = options.platform ? undefined : await completeImage(store, common.name, said.digest);
  if (known) return { ...common, ...planOfKnown(known) };

  const documents = new ImageDocuments(deps, reference, { ...options, signal, watch });
  if (content) documents.add(said.digest, content);
  const target = await documents.withRealSize(said);
  const platform = options.platform ?? containerPlatform();
  const chosen = await chooseManifest(documents, target, platform);
  const { manifest } = chosen;
  requireImage(manifest, target);
  const config = parseImageConfig(await documents.config(manifest.config));
  requireMatchingLayers(manifest, config);
  const layers = await planLayers(store, manifest, config);
  const imageId = manifest.config.digest;
  const image = store.images.get(imageId);
  return {
    ...common,
    target,
    manifest: chosen.descriptor,
    config: manifest.config,
    imageId,
    ...platformOf(config),
    layers,
    ...totalsOf(layers),
    alreadyPresent: image?.manifest.digest === chosen.descriptor.digest && (await isComplete(store, image, target)),
    documents: documentsOf(chosen, documents),
    warnings: warningsOf(config, platform),
  };
}

/** Key of the ingest that a blob is fetched into. */
export function ingestKey(digest: Digest): string {
  return `blob-${digestAlgorithm(digest)}-${digestHex(digest)}`;
}

/** What the name meant last time, if it still means the same and all of it is here. */
async function completeImage(store: Store, name: string, digest: Digest): Promise<KnownImage | undefined> {
  const record = store.names.get(name);
  if (record?.target.digest !== digest) return undefined;
  const { target } = record;
  const image = store.images.get(record.imageId);
  return image && (await isComplete(store, image, target)) ? { image, target } : undefined;
}

interface KnownImage {
  readonly image: ImageRecord;
  readonly target: Descriptor;
}

async function isComplete(store: Store, image: ImageRecord, target: Descriptor): Promise<boolean> {
  return (await isImageComplete(store, image)) && (await store.blobs.size(target.digest)) === target.size;
}

function planOfKnown({ image, target }: KnownImage) {
  const documents: ImageDocument[] = [
    { descriptor: target, kind: 'manifest' },
    { descriptor: image.manifest, kind: 'manifest' },
    { descriptor: image.config, kind: 'config' },
  ];
  return {
    target,
    manifest: image.manifest,
    config: image.config,
    imageId: image.id,
    ...(image.platform ? { platform: image.platform } : {}),
    layers: image.layers.map(({ descriptor, diffId }) => ({
      descriptor,
      diffId,
      state: 'unpacked' as const,
      bytesToFetch: 0,
    })),
    layersToFetch: 0,
    bytesToFetch: 0,
    alreadyPresent: true,
    documents,
    warnings: [],
  };
}

function requireImage(manifest: ImageManifest, target: Descriptor): void {
  if (!isImageConfigType(manifest.config.mediaType)) {
    throw new LadingError(
      'ERR_LADING_NOT_AN_IMAGE',
      `${target.digest} is not a container image: its configuration has the media type ${manifest.config.mediaType}`,
      { hint: 'It is another kind of artifact, which can be copied but not run.' },
    );
  }
  if (manifest.layers.length > maxLayers) {
    throw new LadingError(
      'ERR_LADING_TOO_MANY_LAYERS',
      `${target.digest} has ${manifest.layers.length} layers; at most ${maxLayers} can be stacked`,
      { hint: 'Rebuild the image with fewer steps, or squash it.' },
    );
  }
  for (const { mediaType } of manifest.layers) layerCompression(mediaType);
}

/** @see layers.md V3 */
function requireMatchingLayers(manifest: ImageManifest, config: ImageConfig): void {
  const { diffIds } = config.rootfs;
  const strange = diffIds.find((diffId) => digestAlgorithm(diffId) !== 'sha256');
  if (diffIds.length === manifest.layers.length && strange === undefined) return;
  throw new LadingError(
    'ERR_LADING_IMAGE_CONFIG_INVALID',
    strange === undefined
      ? `the image config names ${diffIds.length} layers and the manifest ${manifest.layers.length}`
      : `the image config names a layer by another digest than sha256: ${strange}`,
    { hint: 'The image is broken; ask whoever built it.', data: { class: 'bad-config' } },
  );
}

async function planLayers(store: Store, manifest: ImageManifest, config: ImageConfig): Promise<LayerPlan[]> {
  const plans: LayerPlan[] = [];
  const counted = new Set<Digest>();
  for (const [index, descriptor] of manifest.layers.entries()) {
    const plan = await planLayer(store, descriptor, config.rootfs.diffIds[index]!);
    plans.push(counted.has(descriptor.digest) ? { ...plan, bytesToFetch: 0 } : plan);
    counted.add(descriptor.digest);
  }
  return plans;
}

async function planLayer(store: Store, descriptor: Descriptor, diffId: Digest): Promise<LayerPlan> {
  const { digest, size } = descriptor;
  if (store.layers.has(diffId)) return { descriptor, diffId, state: 'unpacked', bytesToFetch: 0 };
  if ((await store.blobs.size(digest)) === size) return { descriptor, diffId, state: 'stored', bytesToFetch: 0 };
  const resumes = store.keepCompressedLayers !== 'never';
  const partly = resumes ? await store.blobs.ingestSize(ingestKey(digest)) : 0;
  if (partly === 0 || partly > size) return { descriptor, diffId, state: 'missing', bytesToFetch: size };
  return { descriptor, diffId, state: 'partial', bytesToFetch: size - partly };
}

function totalsOf(layers: readonly LayerPlan[]): { layersToFetch: number; bytesToFetch: number } {
  const missing = layers.filter(({ state }) => state === 'missing' || state === 'partial');
  return {
    layersToFetch: new Set(missing.map(({ descriptor }) => descriptor.digest)).size,
    bytesToFetch: missing.reduce((sum, { bytesToFetch }) => sum + bytesToFetch, 0),
  };
}

function platformOf(config: ImageConfig): { platform?: Platform } {
  return config.os && config.architecture ? { platform: configPlatform(config) } : {};
}

function documentsOf({ indexes, descriptor, manifest }: ChosenManifest, documents: ImageDocuments): ImageDocument[] {
  const all: ImageDocument[] = [
    ...[...indexes, descriptor].map((document) => ({ descriptor: document, kind: 'manifest' as const })),
    { descriptor: manifest.config, kind: 'config' },
  ];
  return all.map((document) => {
    const bytes = documents.received(document.descriptor.digest);
    return bytes ? { ...document, bytes } : document;
  });
}

function warningsOf(config: ImageConfig, wanted: Platform): string[] {
  const { platform } = platformOf(config);
  if (!platform || matchPlatform(wanted, platform)) return [];
  return [`the image is for ${formatPlatform(platform)}, not for ${formatPlatform(wanted)}`];
}
