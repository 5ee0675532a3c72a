import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { get, type IncomingMessage, request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { digestOf, mediaTypes } from '../../src/oci/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { startKillableRegistry } from './support/killable-registry.ts';
import { type Answer, errorCodes, jsonBytes, randomBlob, sendTo, TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();
const mib = 1024 * 1024;

describe('one upload session', () => {
  test('while one request writes, others get 416 with the state, and nothing is interleaved', async () => {
    const bytes = randomBlob(100_000);
    const location = await registry.startUpload('sessions');
    const call = request({
      port: registry.port,
      host: '127.0.0.1',
      method: 'PATCH',
      path: location,
      headers: { 'Content-Length': 100_000 },
    });
    const answered = once(call, 'response') as Promise<[IncomingMessage]>;
    call.write(bytes.subarray(0, 60_000));
    await vi.waitUntil(async () => (await registry.send('GET', location)).headers.range === '0-59999');
    for (const [method, target] of [
      ['PATCH', location],
      ['PUT', `${location}?digest=${digestOf(bytes)}`],
      ['DELETE', location],
    ] as const) {
      const answer = await registry.send(method, target, { body: method === 'DELETE' ? '' : 'interleaved' });
      expect([answer.status, answer.headers.location, answer.headers.range]).toEqual([416, location, '0-59999']);
      expect(errorCodes(answer)).toEqual(['BLOB_UPLOAD_INVALID']);
    }
    call.end(bytes.subarray(60_000));
    const [response] = await answered;
    expect(response.resume().statusCode).toBe(202);
    expect((await registry.send('PUT', `${location}?digest=${digestOf(bytes)}`)).status).toBe(201);
  });

  test('of many equal chunks sent at once exactly one is taken', async () => {
    const bytes = randomBlob(50_000);
    const location = await registry.startUpload('sessions');
    const headers = { 'Content-Range': '0-49999' };
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => sendTo(registry.port, 'PATCH', location, { headers, body: bytes })),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([202, ...Array(7).fill(416)]);
    expect((await registry.send('PUT', `${location}?digest=${digestOf(bytes)}`)).status).toBe(201);
  });

  test('of many finishing requests exactly one makes the blob', async () => {
    const bytes = randomBlob(50_000);
    const location = await registry.startUpload('sessions');
    await registry.send('PATCH', location, { body: bytes });
    const answers = await Promise.all(
      Array.from({ length: 6 }, () => sendTo(registry.port, 'PUT', `${location}?digest=${digestOf(bytes)}`, {})),
    );
    const statuses = answers.map(({ status }) => status);
    expect(statuses.filter((status) => status === 201).length).toBe(1);
    expect(statuses.every((status) => [201, 404, 416].includes(status))).toBe(true);
  });
});

test('many sessions for the same blob: all succeed', async () => {
  const bytes = randomBlob(200_000);
  const digest = digestOf(bytes);
  const answers = await Promise.all(
    Array.from({ length: 10 }, (_, index) =>
      sendTo(registry.port, 'POST', `/v2/same/${index % 3}/blobs/uploads/?digest=${digest}`, { body: bytes }),
    ),
  );
  expect(answers.map(({ status }) => status)).toEqual(Array(10).fill(201));
  expect((await registry.send('GET', `/v2/same/0/blobs/${digest}`)).body.equals(bytes)).toBe(true);
});

test('a tag that is moved and read at once: every answer is one of the manifests, whole', async () => {
  const manifests = Array.from({ length: 20 }, (_, index) =>
    jsonBytes({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: [],
      annotations: { index: String(index) },
    }),
  );
  const digests = new Set(manifests.map((bytes) => digestOf(bytes)));
  await registry.putManifest('moving', 'latest', manifests[0]!, mediaTypes.ociIndex);
  const reads: Promise<Answer>[] = [];
  const writes = manifests.map((bytes) => {
    reads.push(sendTo(registry.port, 'GET', '/v2/moving/manifests/latest', {}));
    return sendTo(registry.port, 'PUT', '/v2/moving/manifests/latest', {
      headers: { 'Content-Type': mediaTypes.ociIndex },
      body: bytes,
    });
  });
  for (const answer of await Promise.all(writes)) expect(answer.status).toBe(201);
  for (const answer of await Promise.all(reads)) {
    expect(answer.headers['docker-content-digest']).toBe(digestOf(answer.body));
    expect(digests.has(digestOf(answer.body))).toBe(true);
  }
});

test('a reader that does not read makes the registry wait, not buffer', async () => {
  const bytes = randomBytes(64 * mib);
  const digest = await registry.pushBlob('slow', bytes);
  registry.records.length = 0;
  const response = await new Promise<IncomingMessage>((resolve) => {
    get({ port: registry.port, host: '127.0.0.1', path: `/v2/slow/blobs/${digest}` }, resolve);
  });
  response.pause();
  // Longer than the registry needs to read all of it, if it did.
  await sleep(500);
  response.destroy();
  await vi.waitUntil(() => registry.records.length === 1);
  expect(registry.records[0]).toMatchObject({ status: 200, path: `/v2/slow/blobs/${digest}` });
  expect(registry.records[0]!.bytes).toBeLessThan(32 * mib);
});

test.skipIf(process.platform !== 'linux')('memory stays flat with the size of blobs (needs /proc)', async () => {
  const server = await startKillableRegistry(await temporaryFolder());
  const blob = randomBytes(mib);
  const parts = 192;
  const hash = createHash('sha256');
  for (let part = 0; part < parts; part += 1) hash.update(blob);
  const digest = `sha256:${hash.digest('hex')}`;
  const opened = await sendTo(server.port, 'POST', '/v2/large/blobs/uploads/', {});
  const before = server.peakMemoryMib();
  const status = await new Promise<number>((resolve, reject) => {
    const path = `${opened.headers.location}?digest=${digest}`;
    const call = request({
      port: server.port,
      host: '127.0.0.1',
      method: 'PUT',
      path,
      headers: { 'Content-Length': parts * mib },
    });
    call.once('response', (response) => resolve(response.resume().statusCode!));
    call.once('error', reject);
    let left = parts;
    const write = () => {
      while (left > 0) {
        left -= 1;
        if (!call.write(blob)) return call.once('drain', write);
      }
      return call.end();
    };
    write();
  });
  expect(status).toBe(201);
  const received = await new Promise<string>((resolve, reject) => {
    get({ port: server.port, host: '127.0.0.1', path: `/v2/large/blobs/${digest}` }, (response) => {
      const check = createHash('sha256');
      response.on('data', (chunk) => check.update(chunk));
      response.once('end', () => resolve(`sha256:${check.digest('hex')}`));
      response.once('error', reject);
    });
  });
  expect(received).toBe(digest);
  expect(server.peakMemoryMib() - before).toBeLessThan(96);
  await server.kill();
});
