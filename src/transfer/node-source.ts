import { errorMessage, LadingError } from '../lib/errors.ts';
import { type Descriptor, isIndexType, isManifestType, parseManifest, parseReference } from '../oci/index.ts';
import { maxManifestBytes } from '../registry/index.ts';
import type { ImageRecord, Store } from '../store/index.ts';
import type { ImageSource } from './places.ts';

export interface NodeSourceOptions {
  /** Of the image, normalised. */
  readonly names: readonly string[];
  /** Gets a blob into the store that it lacks: it is not kept, or its layer had been unpacked from another blob. */
  readonly fetchBlob: (descriptor: Descriptor) => Promise<void>;
}

/** A manifest of an image of a node. */
export interface NodeManifest {
  readonly descriptor: Descriptor;
  /** Configuration and layers. */
  readonly blobs: readonly Descriptor[];
}

/**
 * The manifest that a name means: of those with the image's configuration the name's own, if the node has all of its
 * blobs; else, and without a name, the one of the image's record.
 * @param target what the name points to
 */
export async function manifestOfName(store: Store, image: ImageRecord, target?: Descriptor): Promise<NodeManifest> {
  const { manifest, config, layers } = image;
  const own = target && (await ownManifest(store, image, target));
  return own ?? { descriptor: manifest, blobs: [config, ...layers.map(({ descriptor }) => descriptor)] };
}

async function ownManifest(store: Store, image: ImageRecord, target: Descriptor): Promise<NodeManifest | undefined> {
  const isStored = ({ digest, size }: Descriptor) => store.blobs.sizeNow(digest) === size;
  if (target.digest === image.manifest.digest || !isStored(target)) return undefined;
  const bytes = await store.blobs.read(target.digest, { maxBytes: maxManifestBytes });
  const document = parseManifest(bytes, target.mediaType);
  if (document.kind === 'manifest') {
    const blobs = [document.config, ...document.layers];
    return document.config.digest === image.id && blobs.every(isStored) ? { descriptor: target, blobs } : undefined;
  }
  // The one that the record has counts before others that such an index may list.
  if (document.manifests.some(({ digest }) => digest === image.manifest.digest)) return undefined;
  for (const entry of document.manifests) {
    if (!isManifestType(entry.mediaType) && !isIndexType(entry.mediaType)) continue;
    const own = await ownManifest(store, image, entry);
    if (own) return own;
  }
  return undefined;
}

/**
 * An image of a node: always a manifest that the node has, never the index that led to it, of which it has one
 * platform only. Hold a lease on the manifest and its blobs while they are read.
 */
export function nodeSource(store: Store, manifest: Descriptor, { names, fetchBlob }: NodeSourceOptions): ImageSource {
  const place = `node ${store.root}`;
  return {
    place,
    repositories: names.map((name) => parseReference(name)),
    async resolve() {
      const { mediaType, digest, size } = manifest;
      return { mediaType, digest, size };
    },
    manifest: (digest) => store.blobs.read(digest, { maxBytes: maxManifestBytes }),
    async *blob(descriptor, { start = 0 }) {
      if ((await store.blobs.size(descriptor.digest)) !== descriptor.size)
        await fetchBlob(descriptor).catch((error: unknown) => notFetched(descriptor, error));
      yield* store.blobs.openRead(descriptor.digest, { start });
    },
  };
}

function notFetched({ digest }: Descriptor, error: unknown): never {
  const problem = `this node has the layer ${digest} unpacked only, and its blob cannot be fetched now`;
  throw new LadingError('ERR_LADING_BLOB_NOT_FETCHED', `${problem}: ${errorMessage(error)}`, {
    cause: error,
    hint: 'Try again when the registry that the image came from can be reached.',
    data: { digest },
  });
}
