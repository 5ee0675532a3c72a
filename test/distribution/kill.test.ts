import { Agent, request } from 'node:http';
import { describe, expect, test, vi } from 'vitest';
import { LayoutIndex } from '../../src/distribution/layout-index.ts';
import { type Digest, digestOf, mediaTypes } from '../../src/oci/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { startKillableRegistry } from './support/killable-registry.ts';
import { type Answer, descriptorOf, jsonBytes, randomBlob, sendTo } from './support/registry.ts';

const repository = 'kill/repository';

/** What the registry has acknowledged, and what it was offered. */
interface Pushes {
  readonly blobs: Map<Digest, Buffer>;
  readonly tags: Map<string, Buffer>;
  readonly offered: Map<Digest, Buffer>;
}

/** Pushes images one after another until the registry is gone. */
async function pushUntilGone(port: number, worker: string, pushes: Pushes): Promise<void> {
  const agent = new Agent({ keepAlive: true });
  const send = (method: string, target: string, body?: Buffer, headers = {}) =>
    sendTo(port, method, target, { agent, headers, ...(body && { body }) });
  const pushBlob = async (bytes: Buffer, way: number) => {
    const digest = digestOf(bytes);
    pushes.offered.set(digest, bytes);
    const uploads = `/v2/${repository}/blobs/uploads/`;
    let answer: Answer;
    if (way === 0) answer = await send('POST', `${uploads}?digest=${digest}`, bytes);
    else {
      const location = (await send('POST', uploads)).headers.location!;
      const half = way === 1 ? 0 : bytes.length >> 1;
      if (half > 0) await send('PATCH', location, bytes.subarray(0, half), { 'Content-Range': `0-${half - 1}` });
      answer = await send('PUT', `${location}?digest=${digest}`, bytes.subarray(half));
    }
    expect(answer.status).toBe(201);
    pushes.blobs.set(digest, bytes);
  };
  try {
    for (let round = 0; ; round += 1) {
      const layer = randomBlob(1 + ((round * 37_813) % 300_000));
      const config = jsonBytes({ worker, round });
      await pushBlob(layer, round % 3);
      await pushBlob(config, 0);
      const manifest = jsonBytes({
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        config: descriptorOf(mediaTypes.ociConfig, config),
        layers: [descriptorOf(mediaTypes.ociLayer, layer)],
      });
      const tag = `${worker}-${round}`;
      const answer = await send('PUT', `/v2/${repository}/manifests/${tag}`, manifest, {
        'Content-Type': mediaTypes.ociManifest,
      });
      expect(answer.status).toBe(201);
      pushes.tags.set(tag, manifest);
    }
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  } finally {
    agent.destroy();
  }
}

/** Everything acknowledged is there with its digest; whatever else is visible is whole. */
async function expectIntact(port: number, pushes: Pushes): Promise<void> {
  for (const [digest, bytes] of pushes.offered) {
    const answer = await sendTo(port, 'GET', `/v2/${repository}/blobs/${digest}`, {});
    if (!pushes.blobs.has(digest) && answer.status === 404) continue;
    expect(answer.status).toBe(200);
    expect(answer.body.equals(bytes)).toBe(true);
  }
  for (const [tag, manifest] of pushes.tags) {
    const answer = await sendTo(port, 'GET', `/v2/${repository}/manifests/${tag}`, {});
    expect([answer.status, answer.headers['docker-content-digest']]).toEqual([200, digestOf(manifest)]);
    expect(answer.body.equals(manifest)).toBe(true);
  }
}

test.each([
  ['a folder of its own', () => {}],
  ['an OCI layout', (root: string) => void LayoutIndex.create(root)],
])(
  'kill -9 in the middle of pushes to %s, again and again: what was acknowledged is there, nothing half-written shows',
  async (_, prepare) => {
    const root = await temporaryFolder();
    prepare(root);
    const pushes: Pushes = { blobs: new Map(), tags: new Map(), offered: new Map() };
    for (let round = 0; round < 6; round += 1) {
      const registry = await startKillableRegistry(root);
      const wanted = pushes.tags.size + 3 + round * 2;
      const workers = ['a', 'b', 'c'].map((name) => pushUntilGone(registry.port, `${name}${round}`, pushes));
      await vi.waitUntil(() => pushes.tags.size >= wanted, { interval: 1, timeout: 20_000 });
      await registry.kill();
      await Promise.all(workers);
    }
    const registry = await startKillableRegistry(root);
    await expectIntact(registry.port, pushes);
    expect(pushes.tags.size).toBeGreaterThan(30);
    await registry.kill();
  },
);

test('kill -9 right after an answer: the push is there', async () => {
  const root = await temporaryFolder();
  for (let round = 0; round < 3; round += 1) {
    const registry = await startKillableRegistry(root);
    const bytes = randomBlob(100_000);
    const digest = digestOf(bytes);
    const answer = await sendTo(registry.port, 'POST', `/v2/a/blobs/uploads/?digest=${digest}`, { body: bytes });
    await registry.kill();
    expect(answer.status).toBe(201);
    const next = await startKillableRegistry(root);
    expect((await sendTo(next.port, 'GET', `/v2/a/blobs/${digest}`, {})).body.equals(bytes)).toBe(true);
    await next.kill();
  }
});

test('an upload that the kill interrupted is not visible, and goes on from what was acknowledged', async () => {
  const root = await temporaryFolder();
  const first = await startKillableRegistry(root);
  const bytes = randomBlob(3_000_000);
  const digest = digestOf(bytes);
  const location = (await sendTo(first.port, 'POST', '/v2/a/blobs/uploads/', {})).headers.location!;
  const patched = await sendTo(first.port, 'PATCH', location, { body: bytes.subarray(0, 2_000_000) });
  expect(patched.headers.range).toBe('0-1999999');
  const call = request({
    port: first.port,
    host: '127.0.0.1',
    method: 'PATCH',
    path: location,
    headers: { 'Content-Length': 1_000_000 },
  });
  call.on('error', () => undefined);
  call.write(bytes.subarray(2_000_000, 2_400_000));
  await vi.waitUntil(async () => (await sendTo(first.port, 'GET', location, {})).headers.range !== '0-1999999');
  await first.kill();
  const second = await startKillableRegistry(root);
  expect((await sendTo(second.port, 'HEAD', `/v2/a/blobs/${digest}`, {})).status).toBe(404);
  const state = await sendTo(second.port, 'GET', location, {});
  const offset = Number(state.headers.range!.split('-')[1]) + 1;
  expect(offset).toBeGreaterThanOrEqual(2_000_000);
  const done = await sendTo(second.port, 'PUT', `${location}?digest=${digest}`, {
    headers: { 'Content-Range': `${offset}-2999999` },
    body: bytes.subarray(offset),
  });
  expect(done.status).toBe(201);
  expect((await sendTo(second.port, 'GET', `/v2/a/blobs/${digest}`, {})).body.equals(bytes)).toBe(true);
  await second.kill();
});

describe.each(['ingest-written', 'blob-verified', 'blob-synced', 'blob-renamed', 'blob-published'])(
  'dying at %s',
  (crashAt) => {
    test('leaves a registry that takes the same push again', async () => {
      const root = await temporaryFolder();
      const bytes = randomBlob(50_000);
      const digest = digestOf(bytes);
      const push = (port: number) => sendTo(port, 'POST', `/v2/a/blobs/uploads/?digest=${digest}`, { body: bytes });
      const dying = await startKillableRegistry(root, { crashAt });
      await expect(push(dying.port)).rejects.toMatchObject({ code: expect.stringMatching(/ECONNRESET|EPIPE/) });
      await dying.exited;
      const registry = await startKillableRegistry(root);
      expect((await sendTo(registry.port, 'HEAD', `/v2/a/blobs/${digest}`, {})).status).toBe(404);
      expect((await push(registry.port)).status).toBe(201);
      expect((await sendTo(registry.port, 'GET', `/v2/a/blobs/${digest}`, {})).body.equals(bytes)).toBe(true);
      await registry.kill();
    });
  },
);
