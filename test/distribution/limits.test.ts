import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { expect, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/index.ts';
import { errorCodes, randomBlob, TestRegistry } from './support/registry.ts';

const maxBlobBytes = 100_000;
const registry = new TestRegistry({ maxBlobBytes, maxUploadsPerClient: 3, idleBodyMs: 200 });

/** Folders of unfinished uploads. */
function ingests(): string[] {
  try {
    return readdirSync(path.join(registry.root, 'ingest'));
  } catch {
    return [];
  }
}

test('headers of more than 32 KiB: 431', async () => {
  const headers = (bytes: number) => ({ headers: { 'X-Filler': 'x'.repeat(bytes) } });
  expect((await registry.send('GET', '/v2/', headers(31_000))).status).toBe(200);
  expect((await registry.send('GET', '/v2/', headers(33_000))).status).toBe(431);
});

test('a blob of exactly the largest size is taken', async () => {
  await registry.pushBlob('size', randomBlob(maxBlobBytes));
});

test.each([
  ['in one request', async (bytes: Buffer) => upload(bytes, {})],
  ['in one request of unknown length', async (bytes: Buffer) => upload(bytes, { 'Transfer-Encoding': 'chunked' })],
  ['in chunks', async (bytes: Buffer) => chunks(bytes, {})],
  ['in chunks of unknown length', async (bytes: Buffer) => chunks(bytes, { 'Transfer-Encoding': 'chunked' })],
])('a larger one %s is refused with 413, and nothing of it is kept', async (_, send) => {
  const bytes = randomBlob(maxBlobBytes + 1);
  const answer = await send(bytes);
  expect([answer.status, errorCodes(answer)]).toEqual([413, ['SIZE_INVALID']]);
  expect((await registry.send('HEAD', `/v2/size/blobs/${digestOf(bytes)}`)).status).toBe(404);
  expect(ingests()).toEqual([]);
});

function upload(body: Buffer, headers: Record<string, string>) {
  return registry.send('POST', `/v2/size/blobs/uploads/?digest=${digestOf(body)}`, { body, headers });
}

async function chunks(bytes: Buffer, headers: Record<string, string>) {
  const location = await registry.startUpload('size');
  const first = await registry.send('PATCH', location, { body: bytes.subarray(0, 60_000), headers });
  expect(first.status).toBe(202);
  const answer = await registry.send('PATCH', location, { body: bytes.subarray(60_000), headers });
  expect((await registry.send('GET', location)).status).toBe(404);
  return answer;
}

test('one client has so many uploads open and no more, until one ends', async () => {
  const locations = [
    await registry.startUpload('many'),
    await registry.startUpload('many'),
    await registry.startUpload('many'),
  ];
  const answer = await registry.send('POST', '/v2/many/blobs/uploads/');
  expect([answer.status, errorCodes(answer)]).toEqual([429, ['TOOMANYREQUESTS']]);
  expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
  expect((await registry.send('DELETE', locations[0]!)).status).toBe(204);
  const bytes = randomBlob();
  await registry.pushBlob('many', bytes);
  locations[0] = await registry.startUpload('many');
  for (const location of locations) await registry.send('DELETE', location);
});

test('a body that stands still is cut, and what came of it can go on', async () => {
  const location = await registry.startUpload('idle');
  registry.records.length = 0;
  const call = request({
    port: registry.port,
    host: '127.0.0.1',
    method: 'PATCH',
    path: location,
    headers: { 'Content-Length': 1000 },
  });
  const cut = new Promise((resolve) => call.once('error', resolve));
  call.write(Buffer.alloc(400));
  expect(await cut).toMatchObject({ code: 'ECONNRESET' });
  await vi.waitUntil(() => registry.records.some(({ method, status }) => method === 'PATCH' && status === 499));
  expect((await registry.send('GET', location)).headers.range).toBe('0-399');
  await registry.send('DELETE', location);
});
