import { describe, expect, test } from 'vitest';
import { digestOf, mediaTypes } from '../../src/oci/index.ts';
import { errorCodes, pushImage, randomBlob, TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();
const missing = digestOf('content that nobody has pushed');

describe('base', () => {
  test.each(['/v2/', '/v2'])('GET and HEAD %s: 200 with the version header', async (path) => {
    const answer = await registry.send('GET', path);
    expect(answer.status).toBe(200);
    expect(answer.json).toEqual({});
    expect(answer.headers['docker-distribution-api-version']).toBe('registry/2.0');
    const head = await registry.send('HEAD', path);
    expect([head.status, head.body.length]).toEqual([200, 0]);
  });
});

describe('blobs', () => {
  test('HEAD of a missing blob: 404 without a body', async () => {
    const answer = await registry.send('HEAD', `/v2/pull/blobs/${missing}`);
    expect([answer.status, answer.body.length]).toEqual([404, 0]);
  });

  test('GET of a missing blob: 404 BLOB_UNKNOWN', async () => {
    const answer = await registry.send('GET', `/v2/pull/blobs/${missing}`);
    expect(answer.status).toBe(404);
    expect(errorCodes(answer)).toEqual(['BLOB_UNKNOWN']);
  });

  test('HEAD and GET of a blob: same headers, its bytes', async () => {
    const bytes = randomBlob(100_000);
    const digest = await registry.pushBlob('pull', bytes);
    const get = await registry.send('GET', `/v2/pull/blobs/${digest}`);
    const head = await registry.send('HEAD', `/v2/pull/blobs/${digest}`);
    expect(get.status).toBe(200);
    expect(get.body.equals(bytes)).toBe(true);
    expect(get.headers).toMatchObject({
      'content-length': '100000',
      'content-type': 'application/octet-stream',
      'docker-content-digest': digest,
      'accept-ranges': 'bytes',
      'cache-control': 'max-age=31536000',
      etag: `"${digest}"`,
    });
    expect(get.headers['content-encoding']).toBeUndefined();
    expect(head.status).toBe(200);
    expect(head.body.length).toBe(0);
    expect({ ...head.headers, date: '' }).toEqual({ ...get.headers, date: '' });
  });

  test.each([
    'sha256:baddigeststring',
    'sha256:',
    'md5:d41d8cd98f00b204e9800998ecf8427e',
    'latest',
    missing.toUpperCase(),
  ])('GET of %s: 400 DIGEST_INVALID', async (digest) => {
    const answer = await registry.send('GET', `/v2/pull/blobs/${digest}`);
    expect(answer.status).toBe(400);
    expect(errorCodes(answer)).toEqual(['DIGEST_INVALID']);
  });

  test('a blob is visible only in the repository that it was pushed to', async () => {
    const digest = await registry.pushBlob('pull/one', randomBlob());
    await registry.pushBlob('pull/two', randomBlob());
    expect((await registry.send('HEAD', `/v2/pull/one/blobs/${digest}`)).status).toBe(200);
    expect((await registry.send('HEAD', `/v2/pull/two/blobs/${digest}`)).status).toBe(404);
    expect((await registry.send('HEAD', `/v2/pull/blobs/${digest}`)).status).toBe(404);
  });
});

describe('manifests', () => {
  test.each([missing, 'no-such-tag', '.INVALID_MANIFEST_NAME'])(
    'HEAD and GET of %s: 404 MANIFEST_UNKNOWN',
    async (reference) => {
      const head = await registry.send('HEAD', `/v2/pull/manifests/${reference}`);
      expect([head.status, head.body.length]).toEqual([404, 0]);
      const get = await registry.send('GET', `/v2/pull/manifests/${reference}`);
      expect(get.status).toBe(404);
      expect(errorCodes(get)).toEqual(['MANIFEST_UNKNOWN']);
    },
  );

  test('GET of a bad digest: 400 DIGEST_INVALID', async () => {
    const answer = await registry.send('GET', '/v2/pull/manifests/sha256:baddigeststring');
    expect(answer.status).toBe(400);
    expect(errorCodes(answer)).toEqual(['DIGEST_INVALID']);
  });

  test('HEAD and GET by digest and by tag: the bytes and the type that were pushed', async () => {
    const { manifest, digest } = await pushImage(registry, 'pull', { tag: 'one' });
    for (const reference of [digest, digest.replace(':', '%3A'), 'one']) {
      const head = await registry.send('HEAD', `/v2/pull/manifests/${reference}`);
      const get = await registry.send('GET', `/v2/pull/manifests/${reference}`);
      for (const answer of [head, get]) {
        expect(answer.status).toBe(200);
        expect(answer.headers).toMatchObject({
          'content-type': mediaTypes.ociManifest,
          'content-length': String(manifest.length),
          'docker-content-digest': digest,
          etag: `"${digest}"`,
        });
      }
      expect(head.body.length).toBe(0);
      expect(get.body.equals(manifest)).toBe(true);
    }
  });

  test('Accept changes nothing: a manifest is never converted or hidden', async () => {
    const { manifest } = await pushImage(registry, 'pull', { tag: 'accepted' });
    for (const accept of [mediaTypes.dockerManifest, mediaTypes.ociIndex, 'text/html']) {
      const answer = await registry.send('GET', '/v2/pull/manifests/accepted', { headers: { Accept: accept } });
      expect(answer.body.equals(manifest)).toBe(true);
    }
  });

  test('If-None-Match: 304 when the tag still means that digest', async () => {
    const { digest } = await pushImage(registry, 'pull', { tag: 'conditional' });
    const ask = (etag: string) =>
      registry.send('GET', '/v2/pull/manifests/conditional', { headers: { 'If-None-Match': etag } });
    for (const etag of [`"${digest}"`, digest, `W/"${digest}"`, `"other", "${digest}"`, '*']) {
      const answer = await ask(etag);
      expect([answer.status, answer.body.length]).toEqual([304, 0]);
      expect(answer.headers['docker-content-digest']).toBe(digest);
    }
    await pushImage(registry, 'pull', { tag: 'conditional' });
    expect((await ask(`"${digest}"`)).status).toBe(200);
  });

  test('a manifest is visible only in its repository', async () => {
    const { digest } = await pushImage(registry, 'pull/one', { tag: 'only-here' });
    expect((await registry.send('GET', `/v2/pull/two/manifests/${digest}`)).status).toBe(404);
    expect((await registry.send('GET', '/v2/pull/two/manifests/only-here')).status).toBe(404);
  });
});
