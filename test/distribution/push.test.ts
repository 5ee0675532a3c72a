import { describe, expect, test } from 'vitest';
import { type DigestAlgorithm, digestOf } from '../../src/oci/index.ts';
import { type Answer, errorCodes, randomBlob, TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();

async function expectBlob(answer: Answer, repository: string, bytes: Buffer, algorithm: DigestAlgorithm = 'sha256') {
  const digest = digestOf(bytes, algorithm);
  expect(answer.status).toBe(201);
  expect(answer.headers['docker-content-digest']).toBe(digest);
  expect(answer.headers.location).toBe(`/v2/${repository}/blobs/${digest}`);
  const get = await registry.send('GET', answer.headers.location!);
  expect(get.status).toBe(200);
  expect(get.body.equals(bytes)).toBe(true);
  const head = await registry.send('HEAD', answer.headers.location!);
  expect(head.headers).toMatchObject({ 'content-length': String(bytes.length), 'docker-content-digest': digest });
}

function patch(location: string, body: Buffer, [first, last]: [number, number]): Promise<Answer> {
  return registry.send('PATCH', location, { headers: { 'Content-Range': `${first}-${last}` }, body });
}

function put(location: string, digest: string, body?: Buffer, headers = {}): Promise<Answer> {
  return registry.send('PUT', `${location}?digest=${digest}`, { headers, ...(body && { body }) });
}

describe.each<DigestAlgorithm>(['sha256', 'sha384', 'sha512'])('%s blobs', (algorithm) => {
  const repository = `push/${algorithm}`;

  test('POST opens a session', async () => {
    const answer = await registry.send('POST', `/v2/${repository}/blobs/uploads/`);
    expect(answer.status).toBe(202);
    expect(answer.headers.location).toBe(`/v2/${repository}/blobs/uploads/${answer.headers['docker-upload-uuid']}`);
    expect(answer.headers).toMatchObject({ range: '0-0', 'content-length': '0' });
    const second = await registry.send('POST', `/v2/${repository}/blobs/uploads/?digest-algorithm=${algorithm}`);
    expect(second.headers.location).not.toBe(answer.headers.location);
  });

  test('POST only', async () => {
    const bytes = randomBlob();
    const digest = digestOf(bytes, algorithm);
    const answer = await registry.send('POST', `/v2/${repository}/blobs/uploads/?digest=${digest}`, { body: bytes });
    await expectBlob(answer, repository, bytes, algorithm);
  });

  test('POST + PUT, with the algorithm announced and without', async () => {
    for (const query of ['', `?digest-algorithm=${algorithm}`]) {
      const bytes = randomBlob();
      const location = await registry.startUpload(repository, query);
      await expectBlob(await put(location, digestOf(bytes, algorithm), bytes), repository, bytes, algorithm);
      expect((await registry.send('GET', location)).status).toBe(404);
    }
  });

  test('stream: PATCH without Content-Range, chunked transfer coding', async () => {
    const bytes = randomBlob(200_000);
    const location = await registry.startUpload(repository);
    const answer = await registry.send('PATCH', location, {
      headers: { 'Transfer-Encoding': 'chunked' },
      body: bytes,
    });
    expect(answer.status).toBe(202);
    expect(answer.headers).toMatchObject({ range: '0-199999', 'content-length': '0' });
    const done = await put(answer.headers.location!, digestOf(bytes, algorithm));
    await expectBlob(done, repository, bytes, algorithm);
  });

  test('one chunk', async () => {
    const bytes = randomBlob();
    const answer = await patch(await registry.startUpload(repository), bytes, [0, 511]);
    expect([answer.status, answer.headers.range]).toEqual([202, '0-511']);
    await expectBlob(await put(answer.headers.location!, digestOf(bytes, algorithm)), repository, bytes, algorithm);
  });

  test('many chunks, the last in PATCH or in PUT', async () => {
    for (const lastInPut of [false, true]) {
      const bytes = randomBlob(3000);
      let location = await registry.startUpload(repository);
      for (const first of lastInPut ? [0, 1000] : [0, 1000, 2000]) {
        const answer = await patch(location, bytes.subarray(first, first + 1000), [first, first + 999]);
        expect([answer.status, answer.headers.range]).toEqual([202, `0-${first + 999}`]);
        location = answer.headers.location!;
        const state = await registry.send('GET', location);
        expect([state.status, state.headers.range, state.headers.location]).toEqual([
          204,
          `0-${first + 999}`,
          location,
        ]);
      }
      const digest = digestOf(bytes, algorithm);
      const answer = lastInPut
        ? await put(location, digest, bytes.subarray(2000), { 'Content-Range': '2000-2999' })
        : await put(location, digest);
      await expectBlob(answer, repository, bytes, algorithm);
    }
  });

  test('chunks out of order: 416 with the state, GET tells it too, then the upload goes on', async () => {
    const bytes = randomBlob(3000);
    const digest = digestOf(bytes, algorithm);
    const location = await registry.startUpload(repository);
    const early = await patch(location, bytes.subarray(1000, 2000), [1000, 1999]);
    expect([early.status, early.headers.location, early.headers.range]).toEqual([416, location, '0-0']);
    expect(errorCodes(early)).toEqual(['BLOB_UPLOAD_INVALID']);
    expect((await patch(location, bytes.subarray(0, 1000), [0, 999])).status).toBe(202);
    const again = await patch(location, bytes.subarray(0, 1000), [0, 999]);
    expect([again.status, again.headers.range]).toEqual([416, '0-999']);
    const lastEarly = await put(location, digest, bytes.subarray(2000), { 'Content-Range': '2000-2999' });
    expect([lastEarly.status, lastEarly.headers.location, lastEarly.headers.range]).toEqual([416, location, '0-999']);
    const state = await registry.send('GET', location);
    expect([state.status, state.headers.range]).toEqual([204, '0-999']);
    expect((await patch(location, bytes.subarray(1000, 2000), [1000, 1999])).status).toBe(202);
    const done = await put(location, digest, bytes.subarray(2000), { 'Content-Range': '2000-2999' });
    await expectBlob(done, repository, bytes, algorithm);
  });

  test.each([
    ['shorter', 1500],
    ['longer', 200_000],
  ])('a chunk that turns out %s than its range: 400 with the state, then the upload goes on', async (_, end) => {
    const bytes = randomBlob(200_000);
    const location = await registry.startUpload(repository);
    expect((await patch(location, bytes.subarray(0, 1000), [0, 999])).status).toBe(202);
    const headers = { 'Content-Range': '1000-1999', 'Transfer-Encoding': 'chunked' };
    const wrong = await registry.send('PATCH', location, { headers, body: bytes.subarray(1000, end) });
    expect([wrong.status, wrong.headers.location, errorCodes(wrong)]).toEqual([400, location, ['SIZE_INVALID']]);
    const state = await registry.send('GET', location);
    expect([state.status, state.headers.range]).toEqual([204, wrong.headers.range]);
    const next = Number(/^0-(\d+)$/.exec(state.headers.range as string)![1]) + 1;
    if (end === 1500) expect(next).toBe(1500);
    const rest = await patch(location, bytes.subarray(next), [next, 199_999]);
    expect([rest.status, rest.headers.range]).toEqual([202, '0-199999']);
    await expectBlob(await put(location, digestOf(bytes, algorithm)), repository, bytes, algorithm);
  });

  test('a whole blob is no chunk: Content-Range means nothing', async () => {
    const bytes = randomBlob();
    const target = `/v2/${repository}/blobs/uploads/?digest=${digestOf(bytes, algorithm)}`;
    const answer = await registry.send('POST', target, { headers: { 'Content-Range': '5-516' }, body: bytes });
    await expectBlob(answer, repository, bytes, algorithm);
  });

  test('mount from a repository: 201 and readable in the target', async () => {
    const bytes = randomBlob();
    const digest = await registry.pushBlob(`${repository}/source`, bytes, algorithm);
    const target = `/v2/${repository}/target/blobs/uploads/?mount=${digest}&from=${repository}/source`;
    await expectBlob(await registry.send('POST', target), `${repository}/target`, bytes, algorithm);
  });

  test('mount without a source: 201 if some repository has the blob', async () => {
    const bytes = randomBlob();
    const digest = await registry.pushBlob(`${repository}/source`, bytes, algorithm);
    const answer = await registry.send('POST', `/v2/${repository}/anonymous/blobs/uploads/?mount=${digest}`);
    await expectBlob(answer, `${repository}/anonymous`, bytes, algorithm);
  });

  test('mount of what the source has not: 202 and a session that takes the blob', async () => {
    const bytes = randomBlob();
    const digest = digestOf(bytes, algorithm);
    await registry.pushBlob(`${repository}/elsewhere`, bytes, algorithm);
    for (const from of [`&from=${repository}/source`, '&from=No/Such//Name']) {
      const answer = await registry.send('POST', `/v2/${repository}/missing/blobs/uploads/?mount=${digest}${from}`);
      expect(answer.status).toBe(202);
      expect((await registry.send('GET', `/v2/${repository}/missing/blobs/${digest}`)).status).toBe(404);
      await expectBlob(await put(answer.headers.location!, digest, bytes), `${repository}/missing`, bytes, algorithm);
      await registry.send('DELETE', `/v2/${repository}/missing/blobs/${digest}`);
    }
    const unknown = digestOf(randomBlob(), algorithm);
    const answer = await registry.send('POST', `/v2/${repository}/missing/blobs/uploads/?mount=${unknown}`);
    expect(answer.status).toBe(202);
  });

  test('mount and digest together: the body is taken if the mount fails', async () => {
    const bytes = randomBlob();
    const digest = digestOf(bytes, algorithm);
    const target = `/v2/${repository}/both/blobs/uploads/?mount=${digest}&from=${repository}/nothing&digest=${digest}`;
    await expectBlob(await registry.send('POST', target, { body: bytes }), `${repository}/both`, bytes, algorithm);
  });

  test('cancel: 204, then the session is unknown', async () => {
    const location = await registry.startUpload(repository);
    await registry.send('PATCH', location, { body: randomBlob() });
    expect((await registry.send('DELETE', location)).status).toBe(204);
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      const answer = await registry.send(method, location);
      expect(answer.status).toBe(404);
      expect(errorCodes(answer)).toEqual(['BLOB_UPLOAD_UNKNOWN']);
    }
  });
});

describe('chunks', () => {
  test('Content-Range that is no range: 400, and nothing is taken', async () => {
    const location = await registry.startUpload('push');
    for (const range of ['bytes 0-9', '0-', '-9', '0-9/10', 'abc']) {
      const answer = await registry.send('PATCH', location, {
        headers: { 'Content-Range': range },
        body: '0123456789',
      });
      expect(answer.status).toBe(400);
      expect(errorCodes(answer)).toEqual(['BLOB_UPLOAD_INVALID']);
    }
    expect((await patch(location, Buffer.from('0123456789'), [0, 9])).status).toBe(202);
  });

  test('Content-Range that ends before it begins: 416', async () => {
    const location = await registry.startUpload('push');
    await patch(location, Buffer.from('0123456789'), [0, 9]);
    expect((await patch(location, Buffer.from('x'), [10, 8])).status).toBe(416);
  });

  test('Content-Range of another length than Content-Length: 400 SIZE_INVALID', async () => {
    const location = await registry.startUpload('push');
    const answer = await patch(location, Buffer.from('0123456789'), [0, 4]);
    expect(answer.status).toBe(400);
    expect(errorCodes(answer)).toEqual(['SIZE_INVALID']);
    expect((await registry.send('GET', location)).headers.range).toBe('0-0');
  });

  test.each([
    ['longer', 4],
    ['shorter', 19],
  ])('a chunked body that turns out %s: 400 SIZE_INVALID, and the state is told', async (_, last) => {
    const location = await registry.startUpload('push');
    const answer = await registry.send('PATCH', location, {
      headers: { 'Content-Range': `0-${last}`, 'Transfer-Encoding': 'chunked' },
      body: Buffer.from('0123456789'),
    });
    expect(answer.status).toBe(400);
    expect(errorCodes(answer)).toEqual(['SIZE_INVALID']);
    const stored = Number((await registry.send('GET', location)).headers.range!.split('-')[1]);
    expect(stored).toBeLessThanOrEqual(9);
  });

  test('any Content-Type is taken', async () => {
    const location = await registry.startUpload('push');
    const answer = await registry.send('PATCH', location, { headers: { 'Content-Type': 'image/png' }, body: 'bytes' });
    expect(answer.status).toBe(202);
  });

  test('a session belongs to its repository', async () => {
    const location = await registry.startUpload('push/mine');
    const stolen = location.replace('/mine/', '/yours/');
    for (const method of ['GET', 'PATCH', 'DELETE']) expect((await registry.send(method, stolen)).status).toBe(404);
    expect((await put(stolen, digestOf(''))).status).toBe(404);
    expect((await registry.send('GET', location)).status).toBe(204);
  });

  test('an upload goes on after a restart of the server', async () => {
    const bytes = randomBlob(300_000);
    const location = await registry.startUpload('push/restart');
    await patch(location, bytes.subarray(0, 100_000), [0, 99_999]);
    await registry.restart();
    expect((await registry.send('GET', location)).headers.range).toBe('0-99999');
    expect((await patch(location, bytes.subarray(100_000, 200_000), [100_000, 199_999])).status).toBe(202);
    await registry.restart();
    await expectBlob(await put(location, digestOf(bytes), bytes.subarray(200_000)), 'push/restart', bytes);
  });
});

describe('digests that do not fit', () => {
  const bytes = randomBlob();
  const other = digestOf(randomBlob());

  test('POST only: 400 DIGEST_INVALID, nothing is stored', async () => {
    const answer = await registry.send('POST', `/v2/push/blobs/uploads/?digest=${other}`, { body: bytes });
    expect(answer.status).toBe(400);
    expect(errorCodes(answer)).toEqual(['DIGEST_INVALID']);
    for (const digest of [other, digestOf(bytes)]) {
      expect((await registry.send('HEAD', `/v2/push/blobs/${digest}`)).status).toBe(404);
    }
  });

  test('POST + PUT, chunked and stream: 400 DIGEST_INVALID, and the session is gone', async () => {
    const attempts: ((location: string) => Promise<Answer>)[] = [
      (location) => put(location, other, bytes),
      async (location) => put((await patch(location, bytes, [0, 511])).headers.location!, other),
      async (location) => {
        await patch(location, bytes.subarray(0, 500), [0, 499]);
        return put(location, other, bytes.subarray(500), { 'Content-Range': '500-511' });
      },
      async (location) => put((await registry.send('PATCH', location, { body: bytes })).headers.location!, other),
    ];
    for (const attempt of attempts) {
      const location = await registry.startUpload('push');
      const answer = await attempt(location);
      expect(answer.status).toBe(400);
      expect(errorCodes(answer)).toEqual(['DIGEST_INVALID']);
      expect((await registry.send('GET', location)).status).toBe(404);
      expect((await registry.send('HEAD', `/v2/push/blobs/${other}`)).status).toBe(404);
    }
  });

  test('malformed or missing in PUT: 400, and the session stays', async () => {
    const location = await registry.startUpload('push');
    for (const query of ['', '?digest=', '?digest=sha256:baddigeststring', '?digest=sha256', '?digest=blake3:abc']) {
      const answer = await registry.send('PUT', location + query, { body: bytes });
      expect(answer.status).toBe(400);
      expect(errorCodes(answer)).toEqual(['DIGEST_INVALID']);
    }
    await expectBlob(await put(location, digestOf(bytes), bytes), 'push', bytes);
  });

  test('malformed in POST, mount or digest-algorithm: 400', async () => {
    for (const query of [
      'digest=sha256:bad',
      'mount=sha256:bad',
      'mount=sha256:bad&from=push',
      'digest-algorithm=md5',
    ]) {
      const answer = await registry.send('POST', `/v2/push/blobs/uploads/?${query}`, { body: bytes });
      expect(answer.status).toBe(400);
      expect(errorCodes(answer)).toEqual(['DIGEST_INVALID']);
    }
  });
});
