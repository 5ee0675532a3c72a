import { readdirSync } from 'node:fs';
import { request } from 'node:http';
import path from 'node:path';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/index.ts';
import { randomBlob, sendTo, TestRegistry } from './support/registry.ts';

const registry = new TestRegistry();
const repository = 'bad/uploads';
const uploads = `/v2/${repository}/blobs/uploads/`;
const bytes = randomBlob(100_000);
const digest = digestOf(bytes);
const wrong = digestOf('something else');

afterAll(async () => {
  expect(entries('ingest')).toEqual([]);
  expect(entries('blobs')).toEqual([]);
  expect(await openUploads()).toBe(0);
  expect((await registry.send('GET', '/v2/_catalog')).json).toEqual({ repositories: [] });
});

function entries(folder: string): string[] {
  try {
    return readdirSync(path.join(registry.root, folder), { recursive: true, encoding: 'utf8' });
  } catch {
    return [];
  }
}

async function openUploads(): Promise<number> {
  const text = (await registry.send('GET', '/metrics')).body.toString();
  return Number(/^lading_registry_open_uploads (\d+)$/m.exec(text)![1]);
}

/** Sends a part of what it announces and leaves. */
async function cut(method: string, target: string): Promise<void> {
  const headers = { 'Content-Length': bytes.length };
  const call = request({ port: registry.port, host: '127.0.0.1', method, path: target, headers });
  call.on('error', () => undefined);
  registry.records.length = 0;
  call.write(bytes.subarray(0, 70_000));
  await vi.waitUntil(() => entries('ingest').some((name) => name.endsWith('data')));
  call.destroy();
  await vi.waitUntil(() => registry.records.some(({ status }) => status === 499));
}

describe('a bad upload leaves nothing behind', () => {
  test.each([
    ['POST', () => registry.send('POST', `${uploads}?digest=${wrong}`, { body: bytes })],
    ['PUT', async () => registry.send('PUT', `${await start()}?digest=${wrong}`, { body: bytes })],
    ['PATCH and PUT', async () => registry.send('PUT', `${await patched()}?digest=${wrong}`)],
  ])('a wrong digest, by %s', async (_, send) => {
    expect((await send()).status).toBe(400);
    expect(await openUploads()).toBe(0);
  });

  test('a whole blob that is cut', async () => {
    await cut('POST', `${uploads}?digest=${digest}`);
    await vi.waitUntil(async () => (await openUploads()) === 0);
  });

  test('a chunk that is cut, once the client gives up', async () => {
    const location = await start();
    await cut('PATCH', location);
    expect((await registry.send('DELETE', location)).status).toBe(204);
  });

  test('chunks that overlap, leave a gap or lie about their length', async () => {
    const location = await patched();
    for (const [range, status] of [
      ['0-99999', 416],
      ['50000-149999', 416],
      ['100001-200000', 416],
      ['100000-100010', 400],
    ] as const) {
      const answer = await registry.send('PATCH', location, { headers: { 'Content-Range': range }, body: bytes });
      expect([range, answer.status]).toEqual([range, status]);
    }
    expect((await registry.send('GET', location)).headers.range).toBe('0-99999');
    expect((await registry.send('DELETE', location)).status).toBe(204);
  });

  test('two writers of one session with different bytes: one of them fits, or none', async () => {
    const location = await start();
    const other = randomBlob(bytes.length);
    const write = (body: Buffer) => sendTo(registry.port, 'PATCH', location, { body });
    const statuses = (await Promise.all([write(bytes), write(other)])).map(({ status }) => status);
    expect(statuses.filter((status) => status === 202).length).toBeGreaterThan(0);
    expect((await registry.send('PUT', `${location}?digest=${wrong}`)).status).toBe(400);
    expect((await registry.send('GET', location)).status).toBe(404);
  });
});

function start(): Promise<string> {
  return registry.startUpload(repository);
}

async function patched(): Promise<string> {
  const location = await start();
  expect((await registry.send('PATCH', location, { body: bytes })).status).toBe(202);
  return location;
}
