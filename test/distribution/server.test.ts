import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { Agent, createServer, type IncomingMessage, request } from 'node:http';
import type { AddressInfo } from 'node:net';
import { networkInterfaces } from 'node:os';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, onTestFinished, test, vi } from 'vitest';
import { openRegistry, startRegistry } from '../../src/distribution/index.ts';
import { Metadata } from '../../src/distribution/metadata.ts';
import { OwnStorage } from '../../src/distribution/own-storage.ts';
import { UploadSessions } from '../../src/distribution/upload-sessions.ts';
import { digestOf } from '../../src/oci/index.ts';
import { BlobStore } from '../../src/store/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { pushImage, randomBlob, sendTo, TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();

test('every request is recorded, without its query', async () => {
  const { manifest } = await pushImage(registry, 'records', { tag: 'x' });
  registry.records.length = 0;
  const headers = { 'User-Agent': 'tester/1' };
  await registry.send('GET', '/v2/records/manifests/x?secret=1', { headers });
  await registry.send('HEAD', '/v2/records/manifests/x');
  await registry.send('GET', '/v2/records/manifests/y');
  await vi.waitUntil(() => registry.records.length === 3);
  expect(registry.records).toEqual([
    {
      method: 'GET',
      path: '/v2/records/manifests/x',
      endpoint: 'manifest',
      status: 200,
      bytes: manifest.length,
      receivedBytes: 0,
      userAgent: 'tester/1',
      address: '127.0.0.1',
      user: undefined,
      durationMs: expect.any(Number),
    },
    expect.objectContaining({ method: 'HEAD', status: 200, bytes: 0, userAgent: undefined }),
    expect.objectContaining({ method: 'GET', status: 404 }),
  ]);
});

test('a client that leaves in the middle of an upload is recorded with 499; what it sent stays', async () => {
  const location = await registry.startUpload('records');
  registry.records.length = 0;
  const call = request({
    port: registry.port,
    host: '127.0.0.1',
    method: 'PATCH',
    path: location,
    headers: { 'Content-Length': 1000 },
  });
  call.on('error', () => undefined);
  call.write(Buffer.alloc(400));
  await vi.waitUntil(async () => (await registry.send('GET', location)).headers.range === '0-399');
  call.destroy();
  await vi.waitUntil(() => registry.records.some(({ method }) => method === 'PATCH'));
  expect(registry.records.find(({ method }) => method === 'PATCH')).toMatchObject({
    status: 499,
    bytes: 0,
    receivedBytes: 400,
  });
  const bytes = Buffer.concat([Buffer.alloc(400), randomBlob()]);
  const done = await registry.send('PUT', `${location}?digest=${digestOf(bytes)}`, { body: bytes.subarray(400) });
  expect(done.status).toBe(201);
});

test('it answers in the server of another program too, and ends with the requests that it has begun', async () => {
  const root = await temporaryFolder();
  const open = await openRegistry({ root });
  const server = createServer((call, response) => {
    if (call.url?.startsWith('/v2')) open.handle(call, response);
    else response.end('mine');
  });
  await once(server.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void server.close());
  const { port } = server.address() as AddressInfo;
  const bytes = randomBlob();
  const target = `/v2/app/blobs/uploads/?digest=${digestOf(bytes)}`;
  const call = request({ port, host: '127.0.0.1', method: 'POST', path: target, headers: { 'Content-Length': 512 } });
  const answered = once(call, 'response');
  call.write(bytes.subarray(0, 100));
  expect((await sendTo(port, 'GET', '/', {})).body.toString()).toBe('mine');
  expect((await sendTo(port, 'GET', '/metrics', {})).body.toString()).toBe('mine');
  await vi.waitUntil(async () => (await readdir(path.join(root, 'ingest')).catch(() => [])).length > 0);
  const closed = open.close();
  call.end(bytes.subarray(100));
  const [{ statusCode }] = (await answered) as [IncomingMessage];
  expect(statusCode).toBe(201);
  await closed;
  const again = await startRegistry({ root });
  expect((await sendTo(again.port, 'GET', `/v2/app/blobs/${digestOf(bytes)}`, {})).body).toEqual(bytes);
  await again.close();
});

test('a request that is refused before its body ends does not block the connection', async () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  const body = Buffer.alloc(8 * 1024 * 1024);
  const location = await registry.startUpload('refused');
  const refused: [string, string, number, object][] = [
    ['PUT', '/v2/refused/manifests/x', 413, {}],
    ['PUT', '/v2/refused/manifests/x', 413, { 'Transfer-Encoding': 'chunked' }],
    ['PATCH', location, 400, { 'Content-Range': '0-99999', 'Transfer-Encoding': 'chunked' }],
    ['PATCH', location, 416, { 'Content-Range': '5-8388612' }],
    ['POST', '/v2/refused/blobs/uploads/?digest=sha256:bad', 400, {}],
    ['POST', '/v2/nothing', 404, {}],
  ];
  for (const [method, target, status, headers] of refused) {
    const answer = await sendTo(registry.port, method, target, { agent, body, headers: { ...headers } });
    expect(answer.status).toBe(status);
    expect((await sendTo(registry.port, 'GET', '/v2/', { agent })).status).toBe(200);
  }
  agent.destroy();
});

test('a monolithic upload that is cut leaves nothing behind', async () => {
  const folder = await temporaryFolder();
  const server = await startRegistry({ root: folder });
  const digest = digestOf(Buffer.alloc(1000));
  const target = `/v2/cut/blobs/uploads/?digest=${digest}`;
  const call = request({
    port: server.port,
    host: '127.0.0.1',
    method: 'POST',
    path: target,
    headers: { 'Content-Length': 1000 },
  });
  call.on('error', () => undefined);
  call.write(Buffer.alloc(400), () => setTimeout(() => call.destroy(), 20));
  await new Promise((resolve) => call.once('close', resolve));
  await server.close();
  const metadata = new Metadata(folder);
  expect(metadata.uploadsUntouchedSince(Number.MAX_SAFE_INTEGER)).toEqual([]);
  metadata.close();
});

test('uploads that nobody goes on with for a week expire, others stay', async () => {
  const folder = await temporaryFolder();
  let nowMs = Date.now();
  const storage = new OwnStorage(folder, { now: () => nowMs });
  const sessions = new UploadSessions(storage);
  const create = () => sessions.create({ repository: 'a', algorithm: 'sha256', client: 'test', known: true });
  const [idle, used] = [create(), create()];
  const append = async (id: string) => sessions.use('a', id, (ingest) => ingest.append(Buffer.from('bytes')));
  const [start, weekMs] = [nowMs, 7 * 24 * 60 * 60 * 1000];
  await append(idle);
  nowMs = start + weekMs;
  await append(used);
  expect(await sessions.expire(start + weekMs - 60_000)).toBe(0);
  expect(await sessions.offset('a', idle)).toBe(5);
  expect(await sessions.expire(start + weekMs + 60_000, { dryRun: true })).toBe(1);
  expect(await sessions.expire(start + weekMs + 60_000)).toBe(1);
  await expect(sessions.offset('a', idle)).rejects.toMatchObject({ status: 404 });
  expect(await storage.blobs.ingestSize(idle)).toBe(0);
  expect(await sessions.offset('a', used)).toBe(5);
  await sessions.close();
  storage.close();
});

test('a blob whose file is lost is unknown, and comes back with the next push', async () => {
  const bytes = randomBlob();
  const digest = await registry.pushBlob('lost', bytes);
  await new BlobStore(registry.root).remove(digest);
  expect((await registry.send('HEAD', `/v2/lost/blobs/${digest}`)).status).toBe(404);
  expect((await registry.send('POST', `/v2/lost/blobs/uploads/?mount=${digest}`)).status).toBe(202);
  await registry.pushBlob('lost', bytes);
  expect((await registry.send('GET', `/v2/lost/blobs/${digest}`)).body.equals(bytes)).toBe(true);
});

test('one root is served once, and again after it was closed', async () => {
  const folder = await temporaryFolder();
  const first = await startRegistry({ root: folder });
  await expect(startRegistry({ root: folder })).rejects.toMatchObject({ code: 'ERR_LADING_DISTRIBUTION_IN_USE' });
  expect((await sendTo(first.port, 'GET', '/v2/', {})).status).toBe(200);
  await first.close();
  await (await startRegistry({ root: folder })).close();
});

test('a port that is taken: a clear error, and the root stays free', async () => {
  const folder = await temporaryFolder();
  await expect(startRegistry({ root: folder, port: registry.port })).rejects.toMatchObject({
    code: 'ERR_LADING_DISTRIBUTION_LISTEN',
    message: expect.stringContaining(`127.0.0.1:${registry.port}`),
  });
  await (await startRegistry({ root: folder })).close();
});

test('a root that cannot be used: a clear error', async () => {
  const folder = await temporaryFolder();
  const file = path.join(folder, 'file');
  writeFileSync(file, '');
  await expect(startRegistry({ root: file })).rejects.toMatchObject({ code: 'ERR_LADING_DISTRIBUTION_ROOT' });
  writeFileSync(path.join(folder, 'registry.db'), 'this is no database'.repeat(100));
  await expect(startRegistry({ root: folder })).rejects.toMatchObject({ code: 'ERR_LADING_DISTRIBUTION_ROOT' });
});

test('a root of a newer version: a clear error', async () => {
  const folder = await temporaryFolder();
  mkdirSync(folder, { recursive: true });
  const database = new DatabaseSync(path.join(folder, 'registry.db'));
  database.exec('PRAGMA user_version = 99');
  database.close();
  await expect(startRegistry({ root: folder })).rejects.toMatchObject({ code: 'ERR_LADING_DISTRIBUTION_TOO_NEW' });
});

const hasIpv6 = Object.values(networkInterfaces()).some((list) => list?.some(({ address }) => address === '::1'));

test.skipIf(!hasIpv6)(
  'IPv6 addresses (skipped where the machine has no ::1) are written as in a reference',
  async () => {
    const server = await startRegistry({ root: await temporaryFolder(), host: '::1' });
    expect(server.address).toBe(`[::1]:${server.port}`);
    await server.close();
  },
);

test('close ends idle and busy connections, and an upload that it cut goes on later', async () => {
  const folder = await temporaryFolder();
  const server = await startRegistry({ root: folder });
  const opened = await sendTo(server.port, 'POST', '/v2/closed/blobs/uploads/', {});
  const location = opened.headers.location!;
  const call = request({
    port: server.port,
    host: '127.0.0.1',
    method: 'PATCH',
    path: location,
    headers: { 'Content-Length': 1000 },
  });
  const cut = new Promise((resolve) => call.once('error', resolve));
  call.write(Buffer.alloc(300));
  await vi.waitUntil(async () => (await sendTo(server.port, 'GET', location, {})).headers.range === '0-299');
  await server.close();
  await cut;
  const again = await startRegistry({ root: folder });
  expect((await sendTo(again.port, 'GET', location, {})).headers.range).toBe('0-299');
  await again.close();
});
