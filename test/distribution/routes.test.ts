import { describe, expect, test } from 'vitest';
import { route } from '../../src/distribution/routes.ts';
import { digestOf } from '../../src/oci/index.ts';
import { errorCodes, pushImage, TestRegistry } from './support/registry.ts';

const digest = digestOf('content');

test.each([
  ['/v2/', 'base', '', ''],
  ['/v2/_catalog', 'catalog', '', ''],
  ['/metrics', 'metrics', '', ''],
  ['/v2/a/manifests/latest', 'manifest', 'a', 'latest'],
  ['/v2/a/b/c/manifests/latest', 'manifest', 'a/b/c', 'latest'],
  [`/v2/a/blobs/${digest}`, 'blob', 'a', digest],
  [`/v2/a/blobs/${digest.replace(':', '%3a')}`, 'blob', 'a', digest],
  ['/v2/a/blobs/uploads/', 'uploads', 'a', ''],
  ['/v2/a/blobs/uploads', 'uploads', 'a', ''],
  ['/v2/a/blobs/uploads/1-2', 'upload', 'a', '1-2'],
  ['/v2/a/tags/list', 'tags', 'a', ''],
  [`/v2/a/referrers/${digest}`, 'referrers', 'a', digest],
  ['/v2/manifests/manifests/manifests', 'manifest', 'manifests', 'manifests'],
  ['/v2/blobs/uploads/manifests/list', 'manifest', 'blobs/uploads', 'list'],
  ['/v2/tags/list/tags/list', 'tags', 'tags/list', ''],
  [`/v2/a/manifests/x/blobs/${digest}`, 'blob', 'a/manifests/x', digest],
  ['/v2/a/blobs/uploads/blobs/uploads/', 'uploads', 'a/blobs/uploads', ''],
  ['/v2/a/blobs/uploads/tags/list', 'tags', 'a/blobs/uploads', ''],
])('%s is %s of %s', (path, endpoint, repository, item) => {
  expect(route(path)).toEqual({ endpoint, repository, item });
});

test.each(['/', '/v1/', '/v2/a', '/v2/_catalog/', '/metrics/', '/v2/a/tags/all', '/V2/', '/v2/a/unknown/x'])(
  '%s is nothing',
  (path) => {
    expect(route(path)).toBeUndefined();
  },
);

describe('over HTTP', () => {
  const registry = new TestRegistry();

  test.each(['Upper', 'a%2Fb', 'a//b', '-a', 'a..b', 'a/../b', 'a:b', 'a@b', '', `${'a/'.repeat(128)}a`, 'a%00'])(
    'the name %j: 400 NAME_INVALID',
    async (name) => {
      for (const rest of ['manifests/latest', 'tags/list', `blobs/${digest}`, `referrers/${digest}`]) {
        const answer = await registry.send('GET', `/v2/${name}/${rest}`);
        expect(answer.status).toBe(400);
        expect(errorCodes(answer)).toEqual(['NAME_INVALID']);
      }
      expect((await registry.send('POST', `/v2/${name}/blobs/uploads/`)).status).toBe(400);
    },
  );

  test('a name of 255 characters is taken', async () => {
    const name = `${'a/'.repeat(127)}a`;
    await pushImage(registry, name, { tag: 'x' });
    expect((await registry.send('GET', `/v2/${name}/tags/list`)).json).toEqual({ name, tags: ['x'] });
  });

  test('names with components that are words of the API', async () => {
    for (const name of ['blobs/uploads', 'manifests/tags/list', 'x/referrers/manifests/blobs']) {
      const { manifest } = await pushImage(registry, name, { tag: 'list' });
      expect((await registry.send('GET', `/v2/${name}/manifests/list`)).body.equals(manifest)).toBe(true);
      expect((await registry.send('GET', `/v2/${name}/tags/list`)).json).toEqual({ name, tags: ['list'] });
    }
  });

  test('an unknown path: 404 with an error body, none for HEAD', async () => {
    for (const path of ['/', '/v2/a', '/v2/a/unknown/b']) {
      const answer = await registry.send('GET', path);
      expect(answer.status).toBe(404);
      errorCodes(answer);
      expect((await registry.send('HEAD', path)).body.length).toBe(0);
    }
  });

  test.each([
    ['/v2/', 'POST', 'GET, HEAD'],
    ['/v2/a/manifests/latest', 'POST', 'GET, HEAD, PUT, DELETE'],
    [`/v2/a/blobs/${digest}`, 'PUT', 'GET, HEAD, DELETE'],
    ['/v2/a/blobs/uploads/', 'GET', 'POST'],
    ['/v2/a/blobs/uploads/1', 'POST', 'GET, HEAD, PATCH, PUT, DELETE'],
    ['/v2/a/tags/list', 'DELETE', 'GET, HEAD'],
    [`/v2/a/referrers/${digest}`, 'PUT', 'GET, HEAD'],
    ['/v2/a/tags/list', 'OPTIONS', 'GET, HEAD'],
  ])('%s does not take %s: 405 with Allow', async (path, method, allow) => {
    const answer = await registry.send(method, path);
    expect([answer.status, answer.headers.allow]).toEqual([405, allow]);
    expect(errorCodes(answer)).toEqual(['UNSUPPORTED']);
  });

  test('a target with scheme and host, as proxies send it', async () => {
    expect((await registry.send('GET', 'http://registry.example/v2/')).status).toBe(200);
  });
});
