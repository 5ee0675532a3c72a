import { existsSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout } from 'node:timers/promises';
import { describe, expect, test, vi } from 'vitest';
import { collectRegistryGarbage, startRegistry } from '../../src/distribution/index.ts';
import { migrations } from '../../src/distribution/schema.ts';
import { type Digest, digestHex, digestOf, mediaTypes } from '../../src/oci/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { age } from './support/age.ts';
import {
  descriptorOf,
  errorCodes,
  jsonBytes,
  type PushedImage,
  pushImage,
  randomBlob,
  sendTo,
  TestRegistry,
} from './support/registry.ts';

const hourMs = 60 * 60 * 1000;
const registry = new TestRegistry();

function collect(options: { graceMs?: number; dryRun?: boolean } = {}) {
  return collectRegistryGarbage(registry.root, { graceMs: 0, ...options });
}

function isFile(digest: Digest): boolean {
  return existsSync(path.join(registry.root, 'blobs', digest.split(':')[0]!, digestHex(digest)));
}

async function has(repository: string, kind: 'manifests' | 'blobs', digest: Digest): Promise<boolean> {
  return (await registry.send('HEAD', `/v2/${repository}/${kind}/${digest}`)).status === 200;
}

/** All of the image, or nothing of it: anything else fails. */
async function isThere(repository: string, { digest, layer, config }: PushedImage): Promise<boolean> {
  const parts = [
    await has(repository, 'manifests', digest),
    await has(repository, 'blobs', layer),
    await has(repository, 'blobs', config),
    isFile(layer),
  ];
  expect(new Set(parts).size).toBe(1);
  return parts[0]!;
}

function digestsOf(...images: readonly PushedImage[]): Digest[] {
  return images.flatMap(({ digest, layer, config }) => [digest, layer, config]);
}

async function pushIndex(
  repository: string,
  reference: string,
  entries: readonly Buffer[],
  extra = {},
): Promise<Digest> {
  const manifests = entries.map((bytes) => descriptorOf(mediaTypes.ociManifest, bytes));
  const bytes = jsonBytes({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests, ...extra });
  const digest = digestOf(bytes);
  const answer = await registry.putManifest(repository, reference || digest, bytes, mediaTypes.ociIndex);
  expect(answer.status).toBe(201);
  return digest;
}

describe('what is kept', () => {
  test('tags and all that they need; an image whose tag has moved goes', async () => {
    const old = await pushImage(registry, 'tags', { tag: 'latest' });
    const other = await pushImage(registry, 'tags', { tag: 'other' });
    const now = await pushImage(registry, 'tags', { tag: 'latest' });
    const report = await collect();
    expect(report.manifests).toContainEqual({ repository: 'tags', digest: old.digest });
    expect(report.blobs).toEqual(expect.arrayContaining([old.layer]));
    expect(await isThere('tags', now)).toBe(true);
    expect(await isThere('tags', other)).toBe(true);
    expect(await has('tags', 'manifests', old.digest)).toBe(false);
    expect(isFile(old.layer)).toBe(false);
  });

  test('children of an index, of an index in an index too', async () => {
    const [inner, outer] = [await pushImage(registry, 'index'), await pushImage(registry, 'index')];
    const nested = await pushIndex('index', '', [inner.manifest]);
    const bytes = (await registry.send('GET', `/v2/index/manifests/${nested}`)).body;
    await pushIndex('index', 'latest', [bytes, outer.manifest]);
    await collect();
    expect([await isThere('index', inner), await isThere('index', outer)]).toEqual([true, true]);
    await registry.send('DELETE', '/v2/index/manifests/latest');
    await collect();
    expect([await isThere('index', inner), await isThere('index', outer)]).toEqual([false, false]);
  });

  test('referrers of what is kept, of referrers too; not those of what goes', async () => {
    const image = await pushImage(registry, 'referrers', { tag: 'latest' });
    const subject = descriptorOf(mediaTypes.ociManifest, image.manifest);
    const signature = await pushIndex('referrers', '', [], { subject, artifactType: 'application/x-a' });
    const bytes = (await registry.send('GET', `/v2/referrers/manifests/${signature}`)).body;
    const stamp = await pushIndex('referrers', '', [], { subject: descriptorOf(mediaTypes.ociIndex, bytes) });
    await collect();
    expect(await has('referrers', 'manifests', signature)).toBe(true);
    expect(await has('referrers', 'manifests', stamp)).toBe(true);
    await registry.send('DELETE', '/v2/referrers/manifests/latest');
    await collect();
    expect(await isThere('referrers', image)).toBe(false);
    expect(await has('referrers', 'manifests', signature)).toBe(false);
    expect(await has('referrers', 'manifests', stamp)).toBe(false);
  });

  test('a tagged referrer does not keep its subject', async () => {
    const image = await pushImage(registry, 'signed');
    const subject = descriptorOf(mediaTypes.ociManifest, image.manifest);
    const signature = await pushIndex('signed', 'signature', [], { subject });
    await collect();
    expect(await isThere('signed', image)).toBe(false);
    expect(await has('signed', 'manifests', signature)).toBe(true);
  });

  test('what a manifest of an unknown type mentions, at any depth', async () => {
    const [kept, lost] = [
      await registry.pushBlob('unknown', randomBlob()),
      await registry.pushBlob('unknown', randomBlob()),
    ];
    const bytes = jsonBytes({
      mediaType: 'application/x-thing+json',
      a: [{ b: { digest: kept } }],
      subject: { digest: lost },
    });
    expect((await registry.putManifest('unknown', 'latest', bytes, 'application/x-thing+json')).status).toBe(201);
    await collect();
    expect([isFile(kept), isFile(lost)]).toEqual([true, false]);
  });

  test('layers that need not be there but are', async () => {
    const foreign = randomBlob();
    const digest = await registry.pushBlob('foreign', foreign);
    const type = 'application/vnd.oci.image.layer.nondistributable.v1.tar';
    await pushImage(registry, 'foreign', { tag: 'latest', extra: { layers: [descriptorOf(type, foreign)] } });
    await collect();
    expect(await has('foreign', 'blobs', digest)).toBe(true);
  });

  test('the file of a blob that another repository needs', async () => {
    const image = await pushImage(registry, 'shared/a', { tag: 'latest' });
    await registry.send('POST', `/v2/shared/b/blobs/uploads/?mount=${image.layer}&from=shared/a`);
    await collect();
    expect(await has('shared/b', 'blobs', image.layer)).toBe(false);
    expect(await isThere('shared/a', image)).toBe(true);
  });
});

describe('the grace period', () => {
  test('what was pushed, pulled or asked for lately stays, with what it needs', async () => {
    const [pushed, pulled, unused] = [
      await pushImage(registry, 'grace'),
      await pushImage(registry, 'grace'),
      await pushImage(registry, 'grace'),
    ];
    const asked = await registry.pushBlob('grace', randomBlob());
    const forgotten = await registry.pushBlob('grace', randomBlob());
    age(registry.root, 2 * hourMs, digestsOf(pulled, unused).concat(asked, forgotten));
    await registry.send('GET', `/v2/grace/manifests/${pulled.digest}`);
    await registry.send('HEAD', `/v2/grace/blobs/${asked}`);
    await collect({ graceMs: hourMs });
    expect([isFile(asked), isFile(forgotten)]).toEqual([true, false]);
    expect(await has('grace', 'manifests', unused.digest)).toBe(false);
    expect([await isThere('grace', pushed), await isThere('grace', pulled)]).toEqual([true, true]);
  });

  test('a push that is in the middle of it ends well', async () => {
    const layer = randomBlob();
    const digest = await registry.pushBlob('middle', layer);
    age(registry.root, 2 * hourMs, [digest]);
    const config = jsonBytes({ os: 'linux' });
    // As pushing clients do: what is said to be there is not sent.
    expect(await has('middle', 'blobs', digest)).toBe(true);
    await registry.pushBlob('middle', config);
    await collect({ graceMs: hourMs });
    const manifest = jsonBytes({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: descriptorOf(mediaTypes.ociConfig, config),
      layers: [descriptorOf(mediaTypes.ociLayer, layer)],
    });
    expect((await registry.putManifest('middle', 'latest', manifest, mediaTypes.ociManifest)).status).toBe(201);
  });

  test('without one a push may be told that its blobs are gone, and never is acknowledged for what is not there', async () => {
    const digest = await registry.pushBlob('none', randomBlob());
    await collect();
    const manifest = jsonBytes({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, digest, size: 512 },
      layers: [],
    });
    const answer = await registry.putManifest('none', 'latest', manifest, mediaTypes.ociManifest);
    expect([answer.status, errorCodes(answer)]).toEqual([400, ['MANIFEST_BLOB_UNKNOWN']]);
  });
});

test('uploads that are open go on', async () => {
  const bytes = randomBlob();
  const location = await registry.startUpload('open');
  await registry.send('PATCH', location, { body: bytes.subarray(0, 300) });
  await collect();
  const answer = await registry.send('PUT', `${location}?digest=${digestOf(bytes)}`, { body: bytes.subarray(300) });
  expect(answer.status).toBe(201);
});

test('a dry run says the same as the run, and changes nothing', async () => {
  await collect();
  const gone = await pushImage(registry, 'dry');
  await pushImage(registry, 'dry', { tag: 'latest' });
  const planned = await collect({ dryRun: true });
  expect(await isThere('dry', gone)).toBe(true);
  expect(planned.manifests).toEqual([{ repository: 'dry', digest: gone.digest }]);
  expect(new Set(planned.blobs)).toContain(gone.layer);
  expect(await collect()).toEqual(planned);
  expect(await collect()).toEqual({ manifests: [], blobs: [], uploads: 0, freedBytes: 0 });
});

test('space is given back, of blobs and of manifests; an empty repository is forgotten', async () => {
  const root = registry.root;
  const layer = randomBlob(3_000_000);
  await registry.pushBlob('large', layer);
  for (let number = 0; number < 8; number += 1)
    await pushIndex('large', '', [], { annotations: { filler: 'x'.repeat(500_000 + number) } });
  const databaseBytes = () => statSync(path.join(root, 'registry.db')).size;
  expect((await registry.send('GET', '/v2/_catalog')).json.repositories).toContain('large');
  const { freedBytes } = await collect();
  expect(freedBytes).toBeGreaterThan(7_000_000);
  expect(isFile(digestOf(layer))).toBe(false);
  expect(databaseBytes()).toBeLessThan(2_000_000);
  expect(statSync(path.join(root, 'registry.db-wal')).size).toBeLessThan(100_000);
  expect(readdirSync(path.join(root, 'trash'))).toEqual([]);
  expect((await registry.send('GET', '/v2/_catalog')).json.repositories).not.toContain('large');
  expect((await registry.send('GET', '/v2/large/tags/list')).status).toBe(404);
});

test('on a schedule while serving', async () => {
  const root = await temporaryFolder();
  const server = await startRegistry({ root, garbage: { everyMs: 30, graceMs: 0 } });
  const bytes = randomBlob();
  const digest = digestOf(bytes);
  const target = `/v2/a/blobs/uploads/?digest=${digest}`;
  expect((await sendTo(server.port, 'POST', target, { body: bytes })).status).toBe(201);
  await vi.waitUntil(async () => (await sendTo(server.port, 'HEAD', `/v2/a/blobs/${digest}`, {})).status === 404);
  await vi.waitUntil(async () =>
    /^lading_registry_garbage_freed_bytes_total 512$/m.test(
      (await sendTo(server.port, 'GET', '/metrics', {})).body.toString(),
    ),
  );
  await server.close();
});

test('a schedule beyond what a timer can count does not collect all the time', async () => {
  const server = await startRegistry({ root: await temporaryFolder(), garbage: { everyMs: 2 ** 31, graceMs: 0 } });
  await setTimeout(100);
  const metrics = (await sendTo(server.port, 'GET', '/metrics', {})).body.toString();
  expect(metrics).toMatch(/^lading_registry_garbage_runs_total 0$/m);
  await server.close();
});

test('a folder without a registry: a clear error, and nothing is made there', async () => {
  const folder = await temporaryFolder();
  await expect(collectRegistryGarbage(folder)).rejects.toMatchObject({ code: 'ERR_LADING_DISTRIBUTION_ROOT' });
  expect(readdirSync(folder)).toEqual([]);
});

test('a registry of the first format keeps its content, and collects it as any other', async () => {
  const root = await temporaryFolder();
  const image = await pushImage(registry, 'format', { tag: 'latest' });
  const source = new DatabaseSync(path.join(registry.root, 'registry.db'));
  const target = new DatabaseSync(path.join(root, 'registry.db'));
  migrations[0]!(undefined as never, target);
  target.exec('PRAGMA user_version = 1');
  for (const [table, columns] of [
    ['repositories', 'name'],
    ['manifests', 'repository, digest, media_type, bytes'],
    ['tags', 'repository, tag, digest'],
  ] as const) {
    const where = table === 'repositories' ? "name = 'format'" : "repository = 'format'";
    for (const row of source.prepare(`SELECT ${columns} FROM ${table} WHERE ${where}`).all()) {
      const values = Object.values(row);
      target.prepare(`INSERT INTO ${table} VALUES (${values.map(() => '?').join()})`).run(...values);
    }
  }
  source.close();
  target.close();
  expect(await collectRegistryGarbage(root, { graceMs: 0 })).toMatchObject({ manifests: [] });
  const server = await startRegistry({ root });
  expect((await sendTo(server.port, 'GET', '/v2/format/manifests/latest', {})).body.equals(image.manifest)).toBe(true);
  await sendTo(server.port, 'DELETE', '/v2/format/manifests/latest', {});
  expect(await collectRegistryGarbage(root, { graceMs: hourMs })).toMatchObject({ manifests: [] });
  expect((await collectRegistryGarbage(root, { graceMs: 0 })).manifests).toHaveLength(1);
  await server.close();
});
