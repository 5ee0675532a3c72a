import { LadingError } from '../lib/errors.ts';
import type { Descriptor } from './descriptor.ts';
import { type JsonValue, parseJsonDocument } from './json-document.ts';
import { bareMediaType, isIndexType, isManifestType, mediaTypes } from './media-types.ts';

/** @see https://github.com/opencontainers/image-spec/blob/main/manifest.md */
export interface ImageManifest {
  readonly kind: 'manifest';
  readonly mediaType: string;
  readonly config: Descriptor;
  /** Lowest layer first. */
  readonly layers: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** @see https://github.com/opencontainers/image-spec/blob/main/image-index.md */
export interface ImageIndex {
  readonly kind: 'index';
  readonly mediaType: string;
  readonly manifests: readonly Descriptor[];
  readonly subject?: Descriptor;
  readonly artifactType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Content types that say nothing about what the document is. */
const meaninglessTypes = new Set(['', 'application/json', mediaTypes.octetStream]);
const schema1Pattern = /^application\/vnd\.docker\.distribution\.manifest\.v1\+/;

/**
 * Reads a manifest or an index once, so that nothing behind it needs to check. `contentType` is what the registry said.
 * Members that the specification does not know are ignored here: keep the bytes, which the digest covers.
 * @throws LadingError `ERR_LADING_MANIFEST_INVALID`, `ERR_LADING_MANIFEST_SCHEMA1`
 * @see registry.md 2.4
 */
export function parseManifest(bytes: Uint8Array, contentType = ''): ImageManifest | ImageIndex {
  const declared = bareMediaType(contentType);
  if (schema1Pattern.test(declared)) throw schema1Error();
  if (declared === 'text/html') fail('it is a web page (text/html), as login pages and proxies send them');
  const document = parseJsonDocument(bytes, fail);
  if (document.has('fsLayers') || document.member('schemaVersion').value === 1) throw schema1Error();
  const mediaType = mediaTypeOf(document, declared);
  if (document.member('schemaVersion').value !== 2) document.member('schemaVersion').wrong('2');
  const common = {
    mediaType,
    ...document.member('subject').optional('subject', parseDescriptor),
    ...document.member('artifactType').optional('artifactType', (value) => value.text()),
    ...document.member('annotations').optional('annotations', parseAnnotations),
  };
  // One document with two readings would let two tools see two images under one digest (CVE-2021-41190).
  if (isIndexType(mediaType)) {
    for (const name of ['config', 'layers'])
      if (document.has(name)) fail(`it is declared as an index, but has ${name}`);
    return { kind: 'index', ...common, manifests: document.member('manifests').list(parseDescriptor) };
  }
  if (document.has('manifests')) fail('it is declared as a manifest, but has manifests');
  return {
    kind: 'manifest',
    ...common,
    config: parseDescriptor(document.member('config')),
    layers: document.member('layers').list(parseDescriptor),
  };
}

function mediaTypeOf(document: JsonValue, declared: string): string {
  const member = document.member('mediaType');
  const own = member.present ? bareMediaType(member.text()) : '';
  if (own !== '' && !meaninglessTypes.has(declared) && own !== declared) {
    fail(`it was delivered as ${declared}, but calls itself ${own}`);
  }
  const mediaType = own || (meaninglessTypes.has(declared) ? mediaTypeOfShape(document) : declared);
  if (schema1Pattern.test(mediaType)) throw schema1Error();
  if (isIndexType(mediaType) || isManifestType(mediaType)) return mediaType;
  return fail(`${mediaType} is neither an image manifest nor an image index`);
}

function mediaTypeOfShape(document: JsonValue): string {
  if (Array.isArray(document.member('manifests').value)) return mediaTypes.ociIndex;
  if (Array.isArray(document.member('layers').value) && document.has('config')) return mediaTypes.ociManifest;
  return fail('it has neither a media type nor the members of a manifest or an index');
}

/** @see registry.md 2.2 */
function parseDescriptor(value: JsonValue): Descriptor {
  return {
    mediaType: value.member('mediaType').text(),
    digest: value.member('digest').digest(),
    size: value.member('size').count(),
    ...value.member('urls').optional('urls', (urls) => urls.list((url) => url.text())),
    ...value.member('annotations').optional('annotations', parseAnnotations),
    ...value.member('data').optional('data', (data) => data.text()),
    ...value.member('artifactType').optional('artifactType', (type) => type.text()),
    ...value.member('platform').optional('platform', (platform) => ({
      architecture: platform.has('architecture') ? platform.member('architecture').text() : '',
      os: platform.has('os') ? platform.member('os').text() : '',
      ...platform.member('os.version').optional('os.version', (version) => version.text()),
      ...platform.member('os.features').optional('os.features', (list) => list.list((feature) => feature.text())),
      ...platform.member('variant').optional('variant', (variant) => variant.text()),
    })),
  };
}

function parseAnnotations(value: JsonValue): Readonly<Record<string, string>> {
  return value.map((text) => text.text());
}

function fail(problem: string): never {
  throw new LadingError('ERR_LADING_MANIFEST_INVALID', `the manifest cannot be used: ${problem}`, {
    hint: 'Ask whoever built or serves this image: what the registry delivered is not a valid manifest.',
  });
}

function schema1Error(): LadingError {
  return new LadingError(
    'ERR_LADING_MANIFEST_SCHEMA1',
    'the image has a manifest of Docker schema 1, a format that container engines no longer support',
    { hint: `Rebuild or push it again as ${mediaTypes.dockerManifest} or ${mediaTypes.ociManifest}.` },
  );
}
