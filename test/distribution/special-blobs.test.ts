import { describe, expect, test } from 'vitest';
import { type DigestAlgorithm, digestOf } from '../../src/oci/index.ts';
import { TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();

describe.each<DigestAlgorithm>(['sha256', 'sha512'])('%s', (algorithm) => {
  test.each([
    ['the empty blob', ''],
    ['the empty descriptor', '{}'],
  ])('%s: push, HEAD, GET, DELETE', async (_, text) => {
    const bytes = Buffer.from(text);
    const digest = digestOf(bytes, algorithm);
    const target = `/v2/special/blobs/${digest}`;
    for (const push of [
      () => registry.send('POST', `/v2/special/blobs/uploads/?digest=${digest}`, { body: bytes }),
      async () => registry.send('PUT', `${await registry.startUpload('special')}?digest=${digest}`, { body: bytes }),
      async () => {
        const location = await registry.startUpload('special');
        expect((await registry.send('PATCH', location, { body: bytes })).status).toBe(202);
        return registry.send('PUT', `${location}?digest=${digest}`);
      },
    ]) {
      const pushed = await push();
      expect([pushed.status, pushed.headers.location]).toEqual([201, target]);
      const head = await registry.send('HEAD', target);
      expect([head.status, head.headers['content-length']]).toEqual([200, String(bytes.length)]);
      const get = await registry.send('GET', target);
      expect([get.status, get.body.toString()]).toEqual([200, text]);
      expect((await registry.send('DELETE', target)).status).toBe(202);
      expect((await registry.send('HEAD', target)).status).toBe(404);
    }
  });

  test('no range of the empty blob can be served', async () => {
    const digest = await registry.pushBlob('special', Buffer.alloc(0), algorithm);
    const answer = await registry.send('GET', `/v2/special/blobs/${digest}`, { headers: { Range: 'bytes=0-' } });
    expect([answer.status, answer.headers['content-range']]).toEqual([416, 'bytes */0']);
  });
});
