import { errorMessage, LadingError } from '../lib/errors.ts';
import { type Descriptor, parseReference } from '../oci/index.ts';
import { maxManifestBytes } from '../registry/index.ts';
import type { ImageRecord, Store } from '../store/index.ts';
import { type OwnManifest, ownManifests } from '../store/own-manifests.ts';
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
export function manifestOfName(store: Store, image: ImageRecord, target?: Descriptor): NodeManifest {
  const { id, manifest, config, layers } = image;
  const recorded = { descriptor: manifest, blobs: [config, ...layers.map(({ descriptor }) => descriptor)] };
  const own = target ? [...ownManifests(store.blobs, target, id)].map(nodeManifest) : [];
  // The one that the record has counts before others that an index may list.
  if (own.some(({ descriptor }) => descriptor.digest === manifest.digest)) return recorded;
  const isStored = ({ digest, size }: Descriptor) => store.blobs.sizeNow(digest) === size;
  return own.find(({ blobs }) => blobs.every(isStored)) ?? recorded;
}

function nodeManifest({ way, manifest: { config, layers } }: OwnManifest): NodeManifest {
  return { descriptor: way.at(-1)!, blobs: [config, ...layers] };
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
