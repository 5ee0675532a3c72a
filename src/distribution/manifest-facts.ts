import { errorCode, errorMessage } from '../lib/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, isDigest } from '../oci/digest.ts';
import { parseJsonDocument } from '../oci/json-document.ts';
import { type ImageIndex, type ImageManifest, parseManifest } from '../oci/manifest.ts';
import { bareMediaType, isIndexType, isManifestType, mediaTypes } from '../oci/media-types.ts';
import { Refusal } from './errors.ts';

/** What every client and registry must be able to take. @see registry.md 6.3 */
export const maxManifestBytes = 4 * 1024 * 1024;

/** What the registry needs to know of a manifest; its bytes are stored as they are. */
export interface ManifestFacts {
  readonly mediaType: string;
  /** Content that must be in the repository: as blobs, as manifests, or as one of the two. */
  readonly blobs: readonly Digest[];
  readonly manifests: readonly Digest[];
  readonly either: readonly Digest[];
  /** Content that the collector keeps as long as the manifest: all that it mentions, of whatever type the document is. */
  readonly keeps: readonly Digest[];
  readonly subject?: Digest | undefined;
  /** As the referrers list shows it: the manifest's own, else the type of its config. */
  readonly artifactType?: string | undefined;
  readonly annotations?: Readonly<Record<string, string>> | undefined;
}

/** What the referrers list shows of a manifest that has a subject. */
export interface Referrer {
  readonly subject: Digest;
  readonly artifactType?: string | undefined;
  /** The entry of the list, as JSON. */
  readonly descriptor: string;
}

/** Content types that leave it to the document to say what it is. */
const undecidedTypes = new Set(['', 'application/json', mediaTypes.octetStream]);
/** @see https://www.rfc-editor.org/rfc/rfc6838#section-4.2 */
const mediaTypePattern = /^[a-z0-9][a-z0-9!#$&^_.+-]{0,126}\/[a-z0-9][a-z0-9!#$&^_.+-]{0,126}$/;
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
  return { ...shapeFacts(bytes, contentType), keeps: mentionedDigests(bytes) };
}

/**
 * @returns undefined for a manifest without a subject
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#listing-referrers
 */
export function referrerOf(manifest: { digest: Digest; size: number }, facts: ManifestFacts): Referrer | undefined {
  const { mediaType, subject, artifactType, annotations } = facts;
  if (subject === undefined) return undefined;
  return { subject, artifactType, descriptor: JSON.stringify({ mediaType, ...manifest, annotations, artifactType }) };
}

type ShapeFacts = Omit<ManifestFacts, 'keeps'>;

function shapeFacts(bytes: Uint8Array, contentType: string): ShapeFacts {
  try {
    return imageFacts(parseManifest(bytes, contentType));
  } catch (error) {
    const facts =
      errorCode(error) === 'ERR_LADING_MANIFEST_INVALID' ? otherFacts(bytes, bareMediaType(contentType)) : undefined;
    if (facts) return facts;
    throw new Refusal(400, { code: 'MANIFEST_INVALID', message: errorMessage(error) });
  }
}

function imageFacts(document: ImageManifest | ImageIndex): ShapeFacts {
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

/** @returns undefined if the document is of no other type than the image types, or of two */
function otherFacts(bytes: Uint8Array, declared: string): ShapeFacts | undefined {
  const document = parseJsonDocument(bytes, refuse);
  const own = document.member('mediaType').optional('type', (value) => bareMediaType(value.text())).type;
  const mediaType = own ?? declared;
  if (undecidedTypes.has(mediaType) || isManifestType(mediaType) || isIndexType(mediaType)) return undefined;
  if (declared !== mediaType && !undecidedTypes.has(declared)) return undefined;
  if (!mediaTypePattern.test(mediaType)) refuse(`${JSON.stringify(mediaType)} is no media type`);
  return {
    mediaType,
    blobs: [],
    manifests: [],
    either: [],
    ...document.member('subject').optional('subject', (value) => value.member('digest').digest()),
    ...document.member('artifactType').optional('artifactType', (value) => value.text()),
    ...document.member('annotations').optional('annotations', (value) => value.map((text) => text.text())),
  };
}

/** Every `digest` of the document but that of its subject, which lives without its referrers' help or not at all. */
function mentionedDigests(bytes: Uint8Array): Digest[] {
  const found = new Set<Digest>();
  const rest: unknown[] = [parseJsonDocument(bytes, refuse).value];
  while (rest.length > 0) {
    for (const [name, member] of Object.entries(rest.pop() ?? {})) {
      if (name === 'digest' && typeof member === 'string' && isDigest(member)) found.add(member);
      if (name !== 'subject' && typeof member === 'object') rest.push(member);
    }
  }
  return [...found];
}

function refuse(problem: string): never {
  throw new Refusal(400, { code: 'MANIFEST_INVALID', message: `the manifest cannot be used: ${problem}` });
}

function digestOfEntry({ digest }: Descriptor): Digest {
  return digest;
}
