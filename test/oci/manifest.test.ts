import { describe, expect, test } from 'vitest';
import { digestOf, mediaTypes, parseManifest } from '../../src/oci/index.ts';

const bytes = (document: unknown) =>
  new TextEncoder().encode(typeof document === 'string' ? document : JSON.stringify(document));
const config = { mediaType: mediaTypes.ociConfig, digest: digestOf('config'), size: 6 };
const layer = { mediaType: mediaTypes.ociLayerGzip, digest: digestOf('layer'), size: 5 };
const manifest = { schemaVersion: 2, mediaType: mediaTypes.ociManifest, config, layers: [layer] };
const index = {
  schemaVersion: 2,
  mediaType: mediaTypes.ociIndex,
  manifests: [
    {
      mediaType: mediaTypes.ociManifest,
      digest: digestOf('m'),
      size: 1,
      platform: { os: 'linux', architecture: 'arm' },
    },
  ],
};
const invalid = (problem: RegExp) =>
  expect.objectContaining({
    code: 'ERR_LADING_MANIFEST_INVALID',
    message: expect.stringMatching(problem),
    hint: expect.any(String),
  });

describe('parseManifest', () => {
  test('reads manifests and indexes, of OCI and of Docker', () => {
    expect(parseManifest(bytes(manifest), mediaTypes.ociManifest)).toEqual({
      kind: 'manifest',
      mediaType: mediaTypes.ociManifest,
      config,
      layers: [layer],
    });
    expect(parseManifest(bytes(index))).toMatchObject({ kind: 'index', manifests: index.manifests });
    const docker = { ...manifest, mediaType: mediaTypes.dockerManifest };
    expect(parseManifest(bytes(docker), `${mediaTypes.dockerManifest.toUpperCase()}; charset=utf-8`).mediaType).toBe(
      mediaTypes.dockerManifest,
    );
    expect(parseManifest(bytes({ ...index, mediaType: mediaTypes.dockerList }), mediaTypes.dockerList).kind).toBe(
      'index',
    );
  });

  test('keeps subject, artifact type, annotations and every member of a descriptor', () => {
    const full = { ...layer, urls: ['https://e/x'], annotations: { a: 'b' }, data: 'e30=', artifactType: 't' };
    const document = { ...manifest, layers: [full], subject: config, artifactType: 'x/y', annotations: { k: 'v' } };
    expect(parseManifest(bytes(document))).toMatchObject({
      layers: [full],
      subject: config,
      artifactType: 'x/y',
      annotations: { k: 'v' },
    });
  });

  test.each([[''], ['application/json'], ['application/octet-stream']])(
    'a content type of %j says nothing, so the document decides',
    (contentType) => {
      expect(parseManifest(bytes(manifest), contentType).kind).toBe('manifest');
      const { mediaType: _, ...untypedManifest } = manifest;
      expect(parseManifest(bytes(untypedManifest), contentType).mediaType).toBe(mediaTypes.ociManifest);
      const { mediaType: __, ...untypedIndex } = index;
      expect(parseManifest(bytes(untypedIndex), contentType).mediaType).toBe(mediaTypes.ociIndex);
      expect(() => parseManifest(bytes({ schemaVersion: 2 }), contentType)).toThrow(
        invalid(/neither a media type nor/),
      );
    },
  );

  test('null counts as absent, as in lists that Go wrote', () => {
    expect(parseManifest(bytes({ ...manifest, layers: null, annotations: null, subject: null }))).toEqual({
      kind: 'manifest',
      mediaType: mediaTypes.ociManifest,
      config,
      layers: [],
    });
    expect(parseManifest(bytes({ ...index, manifests: null }))).toMatchObject({ manifests: [] });
  });

  test('an empty os or architecture of an index entry is kept as empty', () => {
    const entry = { ...index.manifests[0], platform: { variant: 'v7' } };
    expect(parseManifest(bytes({ ...index, manifests: [entry] }))).toMatchObject({
      manifests: [{ platform: { os: '', architecture: '', variant: 'v7' } }],
    });
  });

  test.each([
    ['text that is not JSON', '{', /not JSON/],
    ['bytes that are not UTF-8', new Uint8Array([0x22, 0xff, 0x22]), /not JSON/],
    ['a list', '[]', /it must be an object/],
    ['null', 'null', /it must be an object/],
    ['another schema version', { ...manifest, schemaVersion: 3 }, /schemaVersion must be 2, but is 3/],
    ['no schema version', { ...manifest, schemaVersion: undefined }, /schemaVersion must be 2, but is nothing/],
    ['no config', { ...manifest, config: undefined }, /config must be an object, but is nothing/],
    ['layers that are no list', { ...manifest, layers: {} }, /layers must be a list/],
    [
      'a negative size',
      { ...manifest, layers: [layer, { ...layer, size: -1 }] },
      /layers\[1\]\.size must be a whole number, 0 or more, but is -1/,
    ],
    ['a fraction as size', { ...manifest, layers: [{ ...layer, size: 1.5 }] }, /layers\[0\]\.size/],
    ['a size beyond 2^53', { ...manifest, layers: [{ ...layer, size: 2 ** 53 }] }, /layers\[0\]\.size/],
    ['a text as size', { ...manifest, layers: [{ ...layer, size: '5' }] }, /layers\[0\]\.size .* but is "5"/],
    [
      'a bad digest',
      { ...manifest, config: { ...config, digest: 'sha256:abc' } },
      /config\.digest: invalid checksum digest length/,
    ],
    [
      'annotations that are no texts',
      { ...manifest, annotations: { a: 1 } },
      /annotations\.a must be a text, but is 1/,
    ],
    ['a media type that is no manifest', { ...manifest, mediaType: 'application/x' }, /application\/x is neither/],
  ])('refuses %s', (_, document, problem) => {
    expect(() => parseManifest(document instanceof Uint8Array ? document : bytes(document))).toThrow(invalid(problem));
  });

  test('refuses a content type that is neither', () => {
    const { mediaType: _, ...untyped } = manifest;
    expect(() => parseManifest(bytes(untyped), 'image/png')).toThrow(invalid(/image\/png is neither/));
    expect(() => parseManifest(bytes(manifest), 'text/html')).toThrow(invalid(/a web page/));
    expect(() => parseManifest(bytes(manifest), 'text/plain')).toThrow(invalid(/delivered as text\/plain/));
  });

  test.each([
    'application/vnd.docker.distribution.manifest.v1+json',
    'application/vnd.docker.distribution.manifest.v1+prettyjws; x=y',
  ])('refuses schema 1 by its content type %s, without reading it', (contentType) => {
    expect(() => parseManifest(bytes('{'), contentType)).toThrow(
      expect.objectContaining({ code: 'ERR_LADING_MANIFEST_SCHEMA1', hint: expect.stringContaining('Rebuild') }),
    );
  });

  test('refuses schema 1 by its members, whatever it was delivered as', () => {
    for (const document of [
      { schemaVersion: 1, fsLayers: [] },
      { schemaVersion: 2, fsLayers: [] },
      { schemaVersion: 1 },
    ]) {
      for (const contentType of ['', 'text/plain', mediaTypes.dockerManifest]) {
        expect(() => parseManifest(bytes(document), contentType)).toThrow(
          expect.objectContaining({ code: 'ERR_LADING_MANIFEST_SCHEMA1' }),
        );
      }
    }
  });
});
