import { errorMessage, LadingError } from '../lib/errors.ts';
import { type Descriptor, parseReference } from '../oci/index.ts';
import { maxManifestBytes } from '../registry/index.ts';
import type { ImageRecord, Store } from '../store/index.ts';
import type { ImageSource } from './places.ts';

export interface NodeSourceOptions {
  /** Of the image, normalised. */
  readonly names: readonly string[];
  /** Gets a blob into the store that it lacks: it is not kept, or its layer had been unpacked from another blob. */
  readonly fetchBlob: (descriptor: Descriptor) => Promise<void>;
}

/**
 * An image of a node: always the manifest that the node has, never the index that led to it, of which it has one
 * platform only. Hold a lease on the image while it is read.
 */
export function nodeSource(store: Store, image: ImageRecord, { names, fetchBlob }: NodeSourceOptions): ImageSource {
  const place = `node ${store.root}`;
  return {
    place,
    repositories: names.map((name) => parseReference(name)),
    async resolve() {
      const { mediaType, digest, size } = image.manifest;
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
