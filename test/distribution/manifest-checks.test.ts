import { describe, expect, test } from 'vitest';
import { digestOf, mediaTypes } from '../../src/oci/index.ts';
import { descriptorOf, errorCodes, jsonBytes, pushImage, randomBlob, TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();
const emptyIndex = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };

async function expectRefused(
  body: Uint8Array,
  contentType: string,
  { reference = 'tag', code = 'MANIFEST_INVALID' } = {},
) {
  const answer = await registry.putManifest('checks', reference, body, contentType);
  expect(answer.status).toBe(400);
  expect(errorCodes(answer)).toEqual([code]);
  return answer;
}

test.each([
  ['no JSON', Buffer.from('no JSON'), mediaTypes.ociManifest],
  ['no object', Buffer.from('[]'), 'application/vnd.example+json'],
  ['nothing', Buffer.alloc(0), mediaTypes.ociManifest],
  ['another mediaType than its Content-Type', jsonBytes(emptyIndex), mediaTypes.ociManifest],
  ['another type of its own than its Content-Type', jsonBytes({ mediaType: 'a/b' }), 'application/vnd.example+json'],
  ['an index with layers', jsonBytes({ ...emptyIndex, layers: [] }), mediaTypes.ociIndex],
  [
    'a manifest with manifests',
    jsonBytes({ ...emptyIndex, mediaType: mediaTypes.ociManifest }),
    mediaTypes.ociManifest,
  ],
  ['an image manifest without a config', jsonBytes({ schemaVersion: 2, layers: [] }), mediaTypes.ociManifest],
  ['another schemaVersion', jsonBytes({ ...emptyIndex, schemaVersion: 3 }), mediaTypes.ociIndex],
  [
    'an entry with a bad digest',
    jsonBytes({ ...emptyIndex, manifests: [{ mediaType: 'a/b', size: 1, digest: 'x' }] }),
    mediaTypes.ociIndex,
  ],
  [
    'docker schema 1',
    jsonBytes({ schemaVersion: 1, fsLayers: [] }),
    'application/vnd.docker.distribution.manifest.v1+json',
  ],
  [
    'signed docker schema 1',
    jsonBytes({ signatures: [] }),
    'application/vnd.docker.distribution.manifest.v1+prettyjws',
  ],
  ['a type that is no header value', jsonBytes({ mediaType: 'a/b\r\nX-Injected: 1' }), 'application/json'],
  ['a mediaType that is no text', jsonBytes({ mediaType: 7 }), 'application/vnd.example+json'],
  [
    'annotations of another type that are no texts',
    jsonBytes({ annotations: { a: [[]] } }),
    'application/vnd.example+json',
  ],
  ['thousands of nested lists', Buffer.from('['.repeat(200_000) + ']'.repeat(200_000)), 'application/vnd.example+json'],
  ['no type at all', jsonBytes({ hello: 1 }), 'application/json'],
])('%s: 400 MANIFEST_INVALID', async (_, body, contentType) => {
  await expectRefused(body, contentType);
});

test('a tag that is none: 400', async () => {
  for (const tag of ['.hidden', '-x', 'a%20b', 'x'.repeat(129), 'a+b']) {
    await expectRefused(jsonBytes(emptyIndex), mediaTypes.ociIndex, { reference: tag });
  }
  const { digest } = { digest: digestOf(jsonBytes(emptyIndex)) };
  await expectRefused(jsonBytes(emptyIndex), mediaTypes.ociIndex, { reference: `${digest}?tag=ok&tag=.bad` });
  expect((await registry.send('GET', '/v2/checks/tags/list')).status).toBe(404);
});

test('a digest that is malformed or of other content: 400 DIGEST_INVALID', async () => {
  const body = jsonBytes(emptyIndex);
  for (const reference of [
    'sha256:baddigeststring',
    digestOf('other'),
    digestOf(body, 'sha512').replace('sha512', 'sha256'),
  ]) {
    await expectRefused(body, mediaTypes.ociIndex, { reference, code: 'DIGEST_INVALID' });
  }
  await expectRefused(Buffer.concat([body, Buffer.from('  ')]), mediaTypes.ociIndex, {
    reference: digestOf(body),
    code: 'DIGEST_INVALID',
  });
});

test('the type may come from the document when Content-Type says nothing', async () => {
  const body = jsonBytes({ ...emptyIndex, annotations: { a: 'untyped' } });
  for (const contentType of ['application/json', 'application/octet-stream', `${mediaTypes.ociIndex}; charset=utf-8`]) {
    expect((await registry.putManifest('checks/untyped', 'tag', body, contentType)).status).toBe(201);
    const answer = await registry.send('GET', '/v2/checks/untyped/manifests/tag');
    expect(answer.headers['content-type']).toBe(mediaTypes.ociIndex);
  }
});

test('bytes are kept exactly, however they are written', async () => {
  const body = Buffer.from(`\n{ "manifests" :[ ],\t"schemaVersion": 2, "unknown":"\\u00e9é", "unknown": 1e3 }\r\n `);
  expect((await registry.putManifest('checks/exact', 'tag', body, mediaTypes.ociIndex)).status).toBe(201);
  expect((await registry.send('GET', '/v2/checks/exact/manifests/tag')).body.equals(body)).toBe(true);
});

describe('size', () => {
  const ofSize = (size: number) => {
    const empty = jsonBytes({ ...emptyIndex, annotations: { a: '' } }).length;
    return jsonBytes({ ...emptyIndex, annotations: { a: 'x'.repeat(size - empty) } });
  };

  test('4 MiB are taken', async () => {
    const body = ofSize(4 * 1024 * 1024);
    expect((await registry.putManifest('checks/size', 'tag', body, mediaTypes.ociIndex)).status).toBe(201);
    expect((await registry.send('GET', '/v2/checks/size/manifests/tag')).body.equals(body)).toBe(true);
  });

  test('one byte more: 413 SIZE_INVALID, announced or not', async () => {
    const body = ofSize(4 * 1024 * 1024 + 1);
    for (const headers of [{}, { 'Transfer-Encoding': 'chunked' }]) {
      const answer = await registry.send('PUT', '/v2/checks/size/manifests/large', {
        headers: { 'Content-Type': mediaTypes.ociIndex, ...headers },
        body,
      });
      expect(answer.status).toBe(413);
      expect(errorCodes(answer)).toEqual(['SIZE_INVALID']);
    }
    expect((await registry.send('HEAD', '/v2/checks/size/manifests/large')).status).toBe(404);
  });
});

describe('missing children', () => {
  test('of an image: 400 MANIFEST_BLOB_UNKNOWN, one entry for each', async () => {
    const present = randomBlob();
    await registry.pushBlob('checks/children', present);
    const config = descriptorOf(mediaTypes.ociConfig, randomBlob());
    const layers = [descriptorOf(mediaTypes.ociLayer, randomBlob()), descriptorOf(mediaTypes.ociLayer, present)];
    const body = jsonBytes({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config,
      layers: [...layers, layers[0]],
    });
    const answer = await registry.putManifest('checks/children', 'tag', body, mediaTypes.ociManifest);
    expect(answer.status).toBe(400);
    expect(errorCodes(answer)).toEqual(['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN']);
    const missing = answer.json.errors.map(({ detail }: { detail: { digest: string } }) => detail.digest);
    expect(missing).toEqual([config.digest, layers[0]!.digest]);
  });

  test('a blob of another repository does not count', async () => {
    const { manifest } = await pushImage(registry, 'checks/one');
    const answer = await registry.putManifest('checks/two', 'tag', manifest, mediaTypes.ociManifest);
    expect(answer.status).toBe(400);
    expect(errorCodes(answer)).toEqual(['MANIFEST_BLOB_UNKNOWN', 'MANIFEST_BLOB_UNKNOWN']);
  });

  test('of an index: manifests must have been pushed as manifests, other content as either', async () => {
    const image = await pushImage(registry, 'checks/index');
    const asBlob = randomBlob();
    await registry.pushBlob('checks/index', asBlob);
    const push = (entry: object) =>
      registry.putManifest(
        'checks/index',
        'tag',
        jsonBytes({ ...emptyIndex, manifests: [entry] }),
        mediaTypes.ociIndex,
      );
    expect((await push(descriptorOf(mediaTypes.ociManifest, image.manifest))).status).toBe(201);
    expect((await push(descriptorOf(mediaTypes.ociLayerGzip, asBlob))).status).toBe(201);
    expect((await push(descriptorOf('application/vnd.example', image.manifest))).status).toBe(201);
    expect(errorCodes(await push(descriptorOf(mediaTypes.ociManifest, asBlob)))).toEqual(['MANIFEST_BLOB_UNKNOWN']);
    expect(errorCodes(await push(descriptorOf('a/b', randomBlob())))).toEqual(['MANIFEST_BLOB_UNKNOWN']);
  });

  describe('with sparse indexes allowed', () => {
    const sparse = new TestRegistry({ sparseIndexes: 'allowed' });

    test('an index may lack manifests, an image no layers', async () => {
      const manifests = [descriptorOf(mediaTypes.ociManifest, randomBlob())];
      const index = jsonBytes({ ...emptyIndex, manifests });
      expect((await sparse.putManifest('sparse', 'tag', index, mediaTypes.ociIndex)).status).toBe(201);
      const image = jsonBytes({ schemaVersion: 2, config: descriptorOf('a/b', randomBlob()), layers: [] });
      expect((await sparse.putManifest('sparse', 'tag', image, mediaTypes.ociManifest)).status).toBe(400);
    });
  });
});

describe('tags of a push by digest', () => {
  test('are set at once and named in OCI-Tag', async () => {
    const { manifest, digest } = await pushImage(registry, 'checks/tags');
    const query = Array.from({ length: 12 }, (_, index) => `tag=t${index}`).join('&');
    const answer = await registry.putManifest(
      'checks/tags',
      `${digest}?${query}&tag=t0`,
      manifest,
      mediaTypes.ociManifest,
    );
    expect(answer.status).toBe(201);
    const tags = Array.from({ length: 12 }, (_, index) => `t${index}`);
    expect(answer.headers['oci-tag']).toBe(tags.join(', '));
    expect((await registry.send('GET', '/v2/checks/tags/tags/list')).json.tags).toEqual([...tags].sort());
  });

  test('work with sha512, and the tag then answers with that digest', async () => {
    const { manifest, digest } = await pushImage(registry, 'checks/sha512', { algorithm: 'sha512' });
    const answer = await registry.putManifest('checks/sha512', `${digest}?tag=long`, manifest, mediaTypes.ociManifest);
    expect([answer.status, answer.headers['oci-tag']]).toEqual([201, 'long']);
    const got = await registry.send('GET', '/v2/checks/sha512/manifests/long');
    expect(got.headers['docker-content-digest']).toBe(digest);
    expect(got.body.equals(manifest)).toBe(true);
  });

  test('too many: 414, and none is set', async () => {
    const { manifest, digest } = await pushImage(registry, 'checks/414');
    const query = Array.from({ length: 101 }, (_, index) => `tag=t${index}`).join('&');
    const answer = await registry.putManifest('checks/414', `${digest}?${query}`, manifest, mediaTypes.ociManifest);
    expect(answer.status).toBe(414);
    expect((await registry.send('GET', '/v2/checks/414/tags/list')).json.tags).toEqual([]);
  });
});

test('a tag moves, and what it meant before stays readable by digest', async () => {
  const before = await pushImage(registry, 'checks/moved', { tag: 'latest' });
  const after = await pushImage(registry, 'checks/moved', { tag: 'latest' });
  const byTag = await registry.send('GET', '/v2/checks/moved/manifests/latest');
  expect(byTag.headers['docker-content-digest']).toBe(after.digest);
  expect((await registry.send('GET', `/v2/checks/moved/manifests/${before.digest}`)).body.equals(before.manifest)).toBe(
    true,
  );
});
