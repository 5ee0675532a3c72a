import { beforeAll, describe, expect, test } from 'vitest';
import type { DigestAlgorithm } from '../../src/oci/index.ts';
import { randomBlob, TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();

describe.each<DigestAlgorithm>(['sha256', 'sha512'])('%s', (algorithm) => {
  const bytes = randomBlob(2048);
  let target = '';
  let digest = '';

  beforeAll(async () => {
    digest = await registry.pushBlob('ranges', bytes, algorithm);
    target = `/v2/ranges/blobs/${digest}`;
  });

  const ask = (headers: Record<string, string>, method = 'GET') => registry.send(method, target, { headers });

  test.each([
    ['bytes=500-1499', 500, 1499],
    ['bytes=500-', 500, 2047],
    ['bytes=-500', 1548, 2047],
    ['bytes=2000-5000', 2000, 2047],
    ['bytes=0-0', 0, 0],
    ['bytes=-5000', 0, 2047],
    ['Bytes=2047-2047', 2047, 2047],
  ])('%s: 206', async (range, first, last) => {
    const answer = await ask({ Range: range });
    expect(answer.status).toBe(206);
    expect(answer.headers).toMatchObject({
      'content-range': `bytes ${first}-${last}/2048`,
      'content-length': String(last - first + 1),
      'docker-content-digest': digest,
    });
    expect(answer.body.equals(bytes.subarray(first, last + 1))).toBe(true);
  });

  test.each(['bytes=500-0', 'bytes=5000-10000', 'bytes=2048-', 'bytes=-0'])('%s: 416', async (range) => {
    const answer = await ask({ Range: range });
    expect([answer.status, answer.headers['content-range'], answer.body.length]).toEqual([416, 'bytes */2048', 0]);
  });

  test.each(['bytes=0-1,5-6', 'lines=1-2', 'bytes=a-b', 'bytes=-', 'bytes', ''])(
    '%s: 200 with everything',
    async (range) => {
      const answer = await ask({ Range: range });
      expect(answer.status).toBe(200);
      expect(answer.body.equals(bytes)).toBe(true);
    },
  );

  test('HEAD with a range: 200 with the full length', async () => {
    const answer = await ask({ Range: 'bytes=0-9' }, 'HEAD');
    expect([answer.status, answer.headers['content-length']]).toEqual([200, '2048']);
  });

  test('If-None-Match: 304 without a body', async () => {
    for (const etag of [`"${digest}"`, digest, '*', `"x", W/"${digest}"`]) {
      for (const method of ['GET', 'HEAD']) {
        const answer = await ask({ 'If-None-Match': etag }, method);
        expect([answer.status, answer.body.length, answer.headers.etag]).toEqual([304, 0, `"${digest}"`]);
      }
    }
    expect((await ask({ 'If-None-Match': '"other"' })).status).toBe(200);
  });

  test('If-Range: the range for this content, everything for other', async () => {
    expect((await ask({ Range: 'bytes=0-9', 'If-Range': `"${digest}"` })).status).toBe(206);
    expect((await ask({ Range: 'bytes=0-9', 'If-Range': '"other"' })).status).toBe(200);
  });
});
