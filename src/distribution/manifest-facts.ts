import { errorCode, errorMessage } from '../lib/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { isDigest } from '../oci/digest.ts';
import { type ImageIndex, type ImageManifest, parseManifest } from '../oci/manifest.ts';
import { bareMediaType, isIndexType, isManifestType, mediaTypes } from '../oci/media-types.ts';
import { Refusal } from './errors.ts';

/** What the registry needs to know of a manifest; its bytes are stored as they are. */
export interface ManifestFacts {
  readonly mediaType: string;
  /** Content that must be in the repository: as blobs, as manifests, or as one of the two. */
  readonly blobs: readonly Digest[];
  readonly manifests: readonly Digest[];
  readonly either: readonly Digest[];
  readonly subject?: Digest | undefined;
  /** As the referrers list shows it: the manifest's own, else the type of its config. */
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, unknown>> | undefined;
}

/** Content types that leave it to the document to say what it is. */
const undecidedTypes = new Set(['', 'application/json', mediaTypes.octetStream]);
/** Layers that are fetched from elsewhere. */
const nonDistributable =
  /^application\/vnd\.(?:oci\.image\.layer\.nondistributable\.v1|docker\.image\.rootfs\.foreign\.diff)\.tar/;

/**
 * Checks a manifest that is pushed. Image manifests and indexes must have their shape; a JSON object of any other type
 * is taken as it is.
 * @throws Refusal `MANIFEST_INVALID`
 * @see registry.md 11.4
 */
export function readManifestFacts(bytes: Uint8Array, contentType: string): ManifestFacts {
  try {
    return imageFacts(parseManifest(bytes, contentType));
  } catch (error) {
    const facts =
      errorCode(error) === 'ERR_LADING_MANIFEST_INVALID' ? otherFacts(bytes, bareMediaType(contentType)) : undefined;
    if (facts) return facts;
    throw new Refusal(400, { code: 'MANIFEST_INVALID', message: errorMessage(error) });
  }
}

function imageFacts(document: ImageManifest | ImageIndex): ManifestFacts {
  const { mediaType, subject, artifactType, annotations } = document;
  const common = { mediaType, subject: subject?.digest, annotations };
  if (document.kind === 'manifest') {
    const { config, layers } = document;
    const blobs = [config, ...layers.filter((layer) => !nonDistributable.test(layer.mediaType))].map(digestOfEntry);
    return { ...common, blobs, manifests: [], either: [], artifactType: artifactType || config.mediaType };
  }
  // Build caches list layers in an index: what is no image manifest by its type may have been pushed as a blob.
  const isManifest = ({ mediaType: type }: Descriptor) => isManifestType(type) || isIndexType(type);
  return {
    ...common,
    blobs: [],
    manifests: document.manifests.filter(isManifest).map(digestOfEntry),
    either: document.manifests.filter((entry) => !isManifest(entry)).map(digestOfEntry),
    artifactType: artifactType || undefined,
  };
}

/** @returns undefined if the document is no JSON object, or calls itself another type than it was sent as */
function otherFacts(bytes: Uint8Array, declared: string): ManifestFacts | undefined {
  const document = jsonObject(bytes);
  const own = typeof document?.mediaType === 'string' ? bareMediaType(document.mediaType) : undefined;
  const mediaType = own ?? declared;
  const isOther = !undecidedTypes.has(mediaType) && !isManifestType(mediaType) && !isIndexType(mediaType);
  if (!document || !isOther || (declared !== mediaType && !undecidedTypes.has(declared))) return undefined;
  const subject = (document.subject as { digest?: unknown } | null | undefined)?.digest;
  const { artifactType, annotations } = document;
  return {
    mediaType,
    blobs: [],
    manifests: [],
    either: [],
    subject: typeof subject === 'string' && isDigest(subject) ? subject : undefined,
    artifactType: typeof artifactType === 'string' && artifactType !== '' ? artifactType : undefined,
    annotations: isObject(annotations) ? annotations : undefined,
  };
}

function jsonObject(bytes: Uint8Array): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function digestOfEntry({ digest }: Descriptor): Digest {
  return digest;
}
