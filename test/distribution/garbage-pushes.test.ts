import { readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { startRegistry } from '../../src/distribution/index.ts';
import { errorCode } from '../../src/lib/errors.ts';
import { type Digest, digestOf, mediaTypes } from '../../src/oci/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { age } from './support/age.ts';
import { collectInProcess, startKillableRegistry } from './support/killable-registry.ts';
import { descriptorOf, jsonBytes, randomBlob, sendTo } from './support/registry.ts';

const hourMs = 60 * 60 * 1000;
const repositories = ['gc/a', 'gc/b'] as const;

/** The images that the registry has acknowledged, by `repository:tag`. */
type Acknowledged = Map<string, { manifest: Buffer; layers: readonly Buffer[] }>;

/** Layers that images share: what one image leaves behind, another finds. */
const layers = Array.from({ length: 12 }, () => randomBlob(20_000));

/** Pushes as clients do: what the registry says it has is not sent. */
async function pushImage(port: number, name: string, chosen: readonly Buffer[]): Promise<number> {
  const [repository, tag] = name.split(':') as [string, string];
  const config = jsonBytes({ name });
  for (const bytes of [...chosen, config]) {
    const digest = digestOf(bytes);
    if ((await sendTo(port, 'HEAD', `/v2/${repository}/blobs/${digest}`, {})).status === 200) continue;
    const target = `/v2/${repository}/blobs/uploads/?digest=${digest}`;
    expect((await sendTo(port, 'POST', target, { body: bytes })).status).toBe(201);
  }
  const headers = { 'Content-Type': mediaTypes.ociManifest };
  const target = `/v2/${repository}/manifests/${tag}`;
  return (await sendTo(port, 'PUT', target, { headers, body: manifestOf(config, chosen) })).status;
}

function manifestOf(config: Buffer, chosen: readonly Buffer[]): Buffer {
  return jsonBytes({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: descriptorOf(mediaTypes.ociConfig, config),
    layers: chosen.map((bytes) => descriptorOf(mediaTypes.ociLayer, bytes)),
  });
}

async function expectAllThere(port: number, acknowledged: Acknowledged): Promise<void> {
  for (const [name, { manifest, layers: chosen }] of acknowledged) {
    const [repository, tag] = name.split(':');
    const answer = await sendTo(port, 'GET', `/v2/${repository}/manifests/${tag}`, {});
    expect([name, answer.status, answer.body.equals(manifest)]).toEqual([name, 200, true]);
    for (const bytes of chosen) {
      const blob = await sendTo(port, 'GET', `/v2/${repository}/blobs/${digestOf(bytes)}`, {});
      expect([blob.status, blob.body.equals(bytes)]).toEqual([200, true]);
    }
  }
}

/** Takes the tags of two of three images away. */
async function deleteMost(port: number, acknowledged: Acknowledged): Promise<void> {
  for (const name of [...acknowledged.keys()].filter((_, index) => index % 3 > 0)) {
    const [repository, tag] = name.split(':');
    expect((await sendTo(port, 'DELETE', `/v2/${repository}/manifests/${tag}`, {})).status).toBe(202);
    acknowledged.delete(name);
  }
}

/** Digests of the blob files. */
function files(root: string): Digest[] {
  return readdirSync(path.join(root, 'blobs', 'sha256')).map((hex) => `sha256:${hex}` as Digest);
}

/** Nothing but what acknowledged images need is on the disk after a collection. */
async function expectNothingElse(root: string, acknowledged: Acknowledged): Promise<void> {
  await collectInProcess(root, { graceMs: 0 });
  const needed = new Set<Digest>();
  for (const [name, { layers: chosen }] of acknowledged) {
    for (const bytes of [...chosen, jsonBytes({ name })]) needed.add(digestOf(bytes));
  }
  expect(new Set(files(root))).toEqual(needed);
  expect(readdirSync(path.join(root, 'trash'))).toEqual([]);
}

test('pushes that build upon old content, while another process collects it: all succeed and are whole', async () => {
  const root = await temporaryFolder();
  const server = await startRegistry({ root });
  const acknowledged: Acknowledged = new Map();
  let freed = 0;
  for (let round = 0; round < 4; round += 1) {
    const collected = collectInProcess(root, { graceMs: hourMs });
    let collecting = true;
    const report = collected.finally(() => {
      collecting = false;
    });
    const pushes = repositories.map(async (repository, worker) => {
      for (let number = 0; collecting || number < 3; number += 1) {
        const name = `${repository}:${round}-${number}`;
        const chosen = [0, 1, 2].map((step) => layers[(number * 5 + step * 3 + round + worker) % layers.length]!);
        expect(await pushImage(server.port, name, chosen)).toBe(201);
        acknowledged.set(name, { manifest: manifestOf(jsonBytes({ name }), chosen), layers: chosen });
      }
    });
    await Promise.all(pushes);
    freed += (await report)!.freedBytes;
    await expectAllThere(server.port, acknowledged);
    await deleteMost(server.port, acknowledged);
    age(root, 2 * hourMs);
  }
  expect(freed).toBeGreaterThan(0);
  await expectNothingElse(root, acknowledged);
  await expectAllThere(server.port, acknowledged);
  await server.close();
});

describe.each(['registry-garbage-rows', 'registry-garbage-file', 'registry-garbage-file:3', 'registry-garbage-files'])(
  'a collector that dies at %s',
  (crashAt) => {
    test('harms nothing, and the next one finishes its work', async () => {
      const root = await temporaryFolder();
      const server = await startRegistry({ root });
      const acknowledged: Acknowledged = new Map();
      for (let number = 0; number < 6; number += 1) {
        const name = `gc/a:${number}`;
        const chosen = layers.slice(number * 2, number * 2 + 2);
        expect(await pushImage(server.port, name, chosen)).toBe(201);
        if (number % 2 === 0)
          acknowledged.set(name, { manifest: manifestOf(jsonBytes({ name }), chosen), layers: chosen });
        else await sendTo(server.port, 'DELETE', `/v2/gc/a/manifests/${number}`, {});
      }
      expect(await collectInProcess(root, { graceMs: 0, crashAt })).toBeUndefined();
      await expectAllThere(server.port, acknowledged);
      const again = layers.slice(2, 4);
      expect(await pushImage(server.port, 'gc/a:again', again)).toBe(201);
      const manifest = manifestOf(jsonBytes({ name: 'gc/a:again' }), again);
      acknowledged.set('gc/a:again', { manifest, layers: again });
      await expectNothingElse(root, acknowledged);
      await expectAllThere(server.port, acknowledged);
      await server.close();
    });
  },
);

test('kill -9 of a server that collects all the time: every acknowledged image is there', async () => {
  const root = await temporaryFolder();
  const acknowledged: Acknowledged = new Map();
  const cutOff: Acknowledged = new Map();
  const options = { garbage: { everyMs: 20, graceMs: hourMs } };
  for (let round = 0; round < 4; round += 1) {
    const server = await startKillableRegistry(root, { options });
    await deleteMost(server.port, acknowledged);
    age(root, 2 * hourMs);
    const wanted = acknowledged.size + 4 + round * 3;
    const pushes = repositories.map(async (repository, worker) => {
      try {
        for (let number = 0; ; number += 1) {
          const name = `${repository}:${round}-${number}`;
          const chosen = [number + worker, number + 5].map((index) => layers[index % layers.length]!);
          const image = { manifest: manifestOf(jsonBytes({ name }), chosen), layers: chosen };
          cutOff.set(name, image);
          expect(await pushImage(server.port, name, chosen)).toBe(201);
          acknowledged.set(name, image);
          cutOff.delete(name);
          if (acknowledged.size >= wanted) await server.kill();
        }
      } catch (error) {
        if (errorCode(error) !== 'ECONNRESET' && errorCode(error) !== 'ECONNREFUSED') throw error;
      }
    });
    await Promise.all(pushes);
  }
  const server = await startRegistry({ root });
  // Those that were done when the kill came, and only the answer was lost.
  for (const [name, image] of cutOff) {
    const [repository, tag] = name.split(':');
    const { status } = await sendTo(server.port, 'HEAD', `/v2/${repository}/manifests/${tag}`, {});
    if (status === 200) acknowledged.set(name, image);
  }
  await expectAllThere(server.port, acknowledged);
  await expectNothingElse(root, acknowledged);
  await server.close();
});
