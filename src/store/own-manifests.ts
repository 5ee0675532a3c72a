import { readFileSync } from 'node:fs';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { type ImageIndex, type ImageManifest, parseManifest } from '../oci/manifest.ts';
import { isIndexType, isManifestType } from '../oci/media-types.ts';
import type { BlobStore } from './blob-store.ts';

/** A stored manifest of an image, and how a name leads to it. */
export interface OwnManifest {
  /** Indexes, outermost first, and the manifest at the end. */
  readonly way: readonly Descriptor[];
  readonly manifest: ImageManifest;
}

/**
 * The manifests of an image that a name means by itself: what the name points to, or lists. The record of the image
 * may have another one, since several manifests can have the same configuration.
 */
export function* ownManifests(
  blobs: BlobStore,
  target: Descriptor,
  imageId: Digest,
  indexes: readonly Descriptor[] = [],
): Generator<OwnManifest> {
  const document = storedDocument(blobs, target);
  const way = [...indexes, target];
  if (document?.kind === 'manifest' && document.config.digest === imageId) yield { way, manifest: document };
  if (document?.kind !== 'index') return;
  for (const entry of document.manifests) {
    if (isManifestType(entry.mediaType) || isIndexType(entry.mediaType)) {
      yield* ownManifests(blobs, entry, imageId, way);
    }
  }
}

/** Undefined also for one that is damaged: who reads the bytes verifies them. */
function storedDocument(blobs: BlobStore, descriptor: Descriptor): ImageManifest | ImageIndex | undefined {
  const { digest, size, mediaType } = descriptor;
  if (blobs.sizeNow(digest) !== size) return undefined;
  try {
    return parseManifest(readFileSync(blobs.path(digest)), mediaType);
  } catch {
    return undefined;
  }
}
