import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { mediaTypes } from '../../src/oci/media-types.ts';
import type { Store } from '../../src/store/index.ts';
import { hourMs, publishLayer, putImage, testClock, testStore } from './support/test-store.ts';

describe('the collector', () => {
  test('keeps what a name reaches and takes the rest of an image that was removed, at once', async () => {
    const store = await testStore();
    const base = digestOf('base');
    const [kept, gone] = [
      await putImage(store, 'kept', { shared: [base], names: ['example.com/kept:1'] }),
      await putImage(store, 'gone', { shared: [base], names: ['example.com/gone:1'] }),
    ];
    expect((await store.collectGarbage()).freedBytes).toBe(0);
    store.names.remove('example.com/gone:1');
    const dry = await store.collectGarbage({ dryRun: true });
    expect(store.images.get(gone.id)).toBeDefined();
    const reader = await testStore({ root: store.root, readOnly: true });
    expect({ ...(await reader.collectGarbage({ dryRun: true })), steps: [] }).toEqual({ ...dry, steps: [] });
    const report = await store.collectGarbage();
    expect({ ...report, steps: [] }).toEqual({ ...dry, steps: [] });
    expect(report.images).toEqual([gone.id]);
    expect(report.layers).toEqual([gone.layers[1]!.diffId]);
    expect([...report.blobs].sort()).toEqual(
      [gone.manifest.digest, gone.config.digest, gone.layers[1]!.descriptor.digest].sort(),
    );
    expect(report.steps.map(({ name }) => name)).toEqual(['rows', 'files', 'ingests', 'trash']);
    expect(await stored(store)).toEqual({ images: [kept.id], layers: 2, blobs: 4, trash: 0 });
    expect((await store.check()).findings).toEqual([]);
  });

  test('takes an image that was removed with all its names, and the reserve is there again', async () => {
    const store = await testStore();
    const image = await putImage(store, 'a', { names: ['example.com/a:1', 'example.com/a:2'] });
    expect(store.images.remove(image.id)).toBe(true);
    expect(store.images.remove(image.id)).toBe(false);
    expect(store.names.list()).toEqual([]);
    await store.collectGarbage();
    expect(await stored(store)).toEqual({ images: [], layers: 0, blobs: 0, trash: 0 });
    expect(await readdir(store.root)).toContain('reserve');
  });

  test('keeps the manifest that a name leads to through indexes, also if the record of the image has another one', async () => {
    const clock = testClock();
    const store = await testStore({ now: clock.now });
    const image = await putImage(store, 'a', { names: ['example.com/a:1'] });
    const put = async (mediaType: string, document: object) => {
      const bytes = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...document }));
      return { mediaType, digest: await store.blobs.put(bytes), size: bytes.byteLength };
    };
    const { config } = image;
    const own = await put(mediaTypes.dockerManifest, { config, layers: [] });
    const strange = await put(mediaTypes.ociManifest, { config: own, layers: [] });
    const inner = await put(mediaTypes.dockerList, { manifests: [strange, own] });
    const target = await put(mediaTypes.ociIndex, { manifests: [inner] });
    store.names.set('example.com/list:1', { target, imageId: image.id });
    clock.pass(2 * hourMs);
    expect((await store.collectGarbage()).blobs).toEqual([strange.digest]);
    store.names.remove('example.com/list:1');
    expect([...(await store.collectGarbage()).blobs].sort()).toEqual(
      [own, inner, target].map(({ digest }) => digest).sort(),
    );
  });

  test('leaves young blobs that never had an image, for a pull that was killed to go on with', async () => {
    const clock = testClock();
    const store = await testStore({ now: clock.now });
    const digest = await store.blobs.put(Buffer.from('part of a pull'));
    expect((await store.collectGarbage()).blobs).toEqual([]);
    clock.pass(2 * hourMs);
    expect((await store.collectGarbage()).blobs).toEqual([digest]);
  });

  test('takes unfinished downloads after a day, but not from under a writer', async () => {
    const clock = testClock();
    const store = await testStore({ now: clock.now });
    const paused = await store.blobs.openIngest('paused');
    await paused.append(Buffer.alloc(10));
    await paused.pause();
    const active = await store.blobs.openIngest('active');
    expect((await store.collectGarbage()).ingests).toEqual([]);
    clock.pass(25 * hourMs);
    const report = await store.collectGarbage();
    expect(report.ingests).toEqual(['paused']);
    expect(report.freedBytes).toBe(10);
    await active.append(Buffer.from('x'));
    await active.commit({ digest: digestOf('x') });
  });

  test('takes folders without a row and without facts when they are old', async () => {
    const clock = testClock();
    const store = await testStore({ now: clock.now });
    const strange = path.join(store.root, 'layers', digestOf('strange').slice('sha256:'.length));
    await mkdir(path.join(strange, 'fs'), { recursive: true });
    await store.collectGarbage();
    expect(existsSync(strange)).toBe(true);
    clock.pass(2 * hourMs);
    await store.collectGarbage();
    expect(existsSync(strange)).toBe(false);
  });
});

describe('a lease', () => {
  test('keeps an image with all of it, even after the image is removed', async () => {
    const store = await testStore();
    const image = await putImage(store, 'a');
    const lease = store.leases.acquire({ images: [image.id] });
    store.images.remove(image.id);
    await store.collectGarbage();
    expect(await stored(store)).toEqual({ images: [], layers: 1, blobs: 3, trash: 0 });
    lease.release();
    lease.release();
    await store.collectGarbage();
    expect(await stored(store)).toEqual({ images: [], layers: 0, blobs: 0, trash: 0 });
  });

  test('keeps a damaged layer that was replaced, until no container has it mounted any more', async () => {
    const store = await testStore();
    const image = await putImage(store, 'a');
    const [{ diffId }] = image.layers as [(typeof image.layers)[0]];
    const lease = store.leases.acquire({ images: [image.id] });
    const facts = path.join(store.layers.folder(diffId), 'facts.json');
    await writeFile(facts, (await readFile(facts, 'utf8')).replace('"entries":1', '"entries":2'));
    await publishLayer(store, diffId);
    expect(store.layers.has(diffId)).toBe(true);
    const trash = path.join(store.root, 'trash');
    await store.collectGarbage();
    (await testStore({ root: store.root })).close();
    const [replaced] = await readdir(trash);
    expect(await readdir(path.join(trash, replaced!, 'fs'))).toEqual(['file']);
    lease.release();
    await store.collectGarbage();
    expect(await readdir(trash)).toEqual([]);
  });

  test('keeps what does not exist yet', async () => {
    const clock = testClock();
    const store = await testStore({ now: clock.now });
    const lease = store.leases.acquire();
    const diffId = digestOf('to come');
    lease.add({ diffIds: [diffId], digests: [digestOf('blob to come')], chainIds: [digestOf('chain')] });
    await publishLayer(store, diffId);
    await store.blobs.put(Buffer.from('blob to come'));
    await (await store.fixUps.prepare(digestOf('chain')))!.publish();
    clock.pass(2 * hourMs);
    expect((await store.collectGarbage()).freedBytes).toBe(0);
    lease.release();
    const report = await store.collectGarbage();
    expect(report).toMatchObject({ layers: [diffId], blobs: [digestOf('blob to come')], fixUps: [digestOf('chain')] });
  });

  test('ends with its expiry', async () => {
    const clock = testClock();
    const store = await testStore({ now: clock.now });
    const diffId = digestOf('layer');
    store.leases.acquire({ diffIds: [diffId] }, { expiresMs: hourMs });
    await publishLayer(store, diffId);
    expect((await store.collectGarbage()).layers).toEqual([]);
    clock.pass(hourMs);
    expect((await store.collectGarbage()).layers).toEqual([diffId]);
  });

  test('is void when its owner is gone or from another boot', async () => {
    const store = await testStore();
    const diffId = digestOf('layer');
    await publishLayer(store, diffId);
    for (const change of ["json_set(owner, '$.startTime', '1')", "json_set(owner, '$.bootId', 'another boot')"]) {
      store.leases.acquire({ diffIds: [diffId] });
      store.database.run(`UPDATE leases SET owner = ${change}`);
    }
    expect(store.leases.keys('layer').size).toBe(0);
    expect((await store.collectGarbage()).layers).toEqual([diffId]);
    expect(store.database.all('SELECT * FROM lease_items')).toEqual([]);
  });
});

test('what a removed image shares with a running pull stays', async () => {
  const store = await testStore();
  const image = await putImage(store, 'a');
  const { digest } = image.layers[0]!.descriptor;
  const lease = store.leases.acquire({ digests: [digest] });
  store.images.remove(image.id);
  await store.collectGarbage();
  expect(await store.blobs.size(digest)).toBeDefined();
  lease.release();
  expect((await store.collectGarbage()).blobs).toEqual([digest]);
});

async function stored(store: Store) {
  const count = async (folder: string) => (await readdir(path.join(store.root, folder)).catch(() => [])).length;
  return {
    images: store.images.list().map(({ id }) => id),
    layers: await count('layers'),
    blobs: await count('blobs/sha256'),
    trash: await count('trash'),
  };
}
