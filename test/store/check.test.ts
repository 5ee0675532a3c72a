import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { chmod, readdir, readFile, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { digestOf } from '../../src/oci/digest.ts';
import { layerDeviations } from '../../src/pull/index.ts';
import { openStore, type RepairHooks, type Store } from '../../src/store/index.ts';
import { fifoWithLateWriter } from '../support/fifo.ts';
import { hourMs, publishLayer, putImage, testStore } from './support/test-store.ts';

async function storeWithImage() {
  const store = await testStore();
  const image = await putImage(store, 'a', { names: ['example.com/a:1'] });
  return { store, image, layer: image.layers[0]! };
}

/** Repairs as a registry and an unpacker would. */
function hooksFor(store: Store, contents: readonly string[]) {
  return {
    fetchBlob: vi.fn(async ({ digest }) => {
      const content = contents.find((text) => digestOf(text) === digest);
      if (content === undefined) throw new Error('the registry does not have it');
      await store.blobs.put(Buffer.from(content));
    }),
    unpackLayer: vi.fn(async (diffId) => publishLayer(store, diffId, { replace: true })),
  } satisfies RepairHooks;
}

/** To what was there and is whole. */
function linkToCopy(at: string): void {
  symlinkSync(path.join(at, '../../../moved'), at);
}

describe('check', () => {
  test('of a sound store finds nothing and reports its steps', async () => {
    const { store } = await storeWithImage();
    const { findings, steps } = await store.check({ verifyLayer: async () => [] });
    expect(findings).toEqual([]);
    expect(steps.map(({ name, count }) => [name, count])).toEqual([
      ['database', 1],
      ['blobs', 3],
      ['layers', 1],
      ['fix-ups', 0],
      ['images', 1],
      ['names', 1],
      ['leftovers', 0],
    ]);
  });

  test('ends in the middle of a blob or a layer when it is no longer wanted', async () => {
    const { store, image } = await storeWithImage();
    const reason = new Error('no longer wanted');
    const damage = store.blobs.damage(image.config.digest, { signal: AbortSignal.abort(reason) });
    await expect(damage).rejects.toBe(reason);
    const controller = new AbortController();
    const { signal } = controller;
    const check = store.check({
      signal,
      verifyLayer: async (_, given) => {
        controller.abort(reason);
        given.signal?.throwIfAborted();
        return [];
      },
    });
    await expect(check).rejects.toBe(reason);
  });

  test('finds a blob with changed bytes, and gets it again when told how', async () => {
    const { store, image } = await storeWithImage();
    await rm(store.blobs.path(image.config.digest));
    await writeFile(store.blobs.path(image.config.digest), 'x'.repeat(image.config.size));
    expect((await store.check({ depth: 'quick' })).findings).toEqual([]);
    expect((await store.check()).findings).toMatchObject([
      { step: 'blobs', subject: image.config.digest, state: 'found' },
    ]);
    const hooks = hooksFor(store, ['config of a']);
    expect((await store.check({ repair: hooks })).findings).toMatchObject([{ state: 'repaired' }]);
    expect(hooks.fetchBlob).toHaveBeenCalledExactlyOnceWith(image.config, ['example.com/a:1']);
    expect((await store.check()).findings).toEqual([]);
  });

  test('finds a missing and a short blob; what cannot be got again is said, with the reason', async () => {
    const { store, image, layer } = await storeWithImage();
    await rm(store.blobs.path(image.manifest.digest));
    await chmod(store.blobs.path(layer.descriptor.digest), 0o644);
    await truncate(store.blobs.path(layer.descriptor.digest), 3);
    const { findings } = await store.check({ depth: 'quick', repair: hooksFor(store, ['manifest of a']) });
    expect(findings).toHaveLength(2);
    expect(findings).toContainEqual(expect.objectContaining({ subject: image.manifest.digest, state: 'repaired' }));
    expect(findings).toContainEqual(
      expect.objectContaining({
        subject: layer.descriptor.digest,
        problem: `has 3 bytes instead of ${layer.descriptor.size}`,
        state: 'not-repaired',
        reason: 'the registry does not have it',
      }),
    );
  });

  test('throws damaged blobs away that nothing needs', async () => {
    const store = await testStore();
    const digest = await store.blobs.put(Buffer.from('orphan'));
    await rm(store.blobs.path(digest));
    await writeFile(store.blobs.path(digest), 'other!');
    expect((await store.check({ repair: hooksFor(store, []) })).findings).toMatchObject([{ state: 'repaired' }]);
    expect(await store.blobs.size(digest)).toBeUndefined();
  });

  test('unpacks a layer again that differs, has lost its facts or its folder', async () => {
    const { store, layer } = await storeWithImage();
    const repair = hooksFor(store, []);
    const verifyLayer = vi.fn(async (): Promise<string[]> => []);
    verifyLayer.mockResolvedValueOnce(['etc: mode', 'a', 'b', 'c', 'd']);
    const different = await store.check({ repair, verifyLayer });
    expect(different.findings).toMatchObject([
      {
        subject: layer.diffId,
        problem: 'differs from what was unpacked: etc: mode; a; b; and 2 more',
        state: 'repaired',
      },
    ]);
    await writeFile(path.join(store.layers.folder(layer.diffId), 'facts.json'), '{');
    expect((await store.check({ repair, verifyLayer })).findings).toMatchObject([
      { step: 'layers', state: 'repaired' },
    ]);
    await rm(store.layers.folder(layer.diffId), { recursive: true });
    expect(store.layers.has(layer.diffId)).toBe(false);
    expect((await store.check()).findings).toMatchObject([{ step: 'layers', state: 'found' }]);
    expect((await store.check({ repair, verifyLayer })).findings).toMatchObject([
      { step: 'layers', state: 'repaired' },
    ]);
    expect(repair.unpackLayer).toHaveBeenCalledTimes(3);
    expect((await store.check({ verifyLayer })).findings).toEqual([]);
  });

  test('finds facts of a layer that were changed and can be read; those of earlier versions are believed', async () => {
    const { store, layer } = await storeWithImage();
    const file = path.join(store.layers.folder(layer.diffId), 'facts.json');
    const { crc32, ...facts } = JSON.parse(await readFile(file, 'utf8'));
    expect(crc32).toMatch(/^[0-9a-f]{8}$/);
    await writeFile(file, JSON.stringify(facts));
    expect((await store.check()).findings).toEqual([]);
    expect(await store.layers.facts(layer.diffId)).toEqual(facts);
    await writeFile(file, JSON.stringify({ ...facts, whiteouts: ['etc/passwd'], crc32 }));
    const problem = `the facts of layer ${layer.diffId} (facts.json) are not those that were written`;
    expect(store.layers.has(layer.diffId)).toBe(false);
    expect((await store.check({ depth: 'quick' })).findings).toMatchObject([
      { step: 'layers', problem, state: 'found' },
    ]);
    const { findings } = await store.check({ repair: hooksFor(store, []), verifyLayer: async () => [] });
    expect(findings).toMatchObject([{ step: 'layers', problem, state: 'repaired' }]);
    expect((await store.check()).findings).toEqual([]);
    expect(await store.layers.facts(layer.diffId)).toEqual(facts);
  });

  test.runIf(process.platform === 'linux').each<[string, string, string, (path: string) => void]>([
    ['a fifo', 'facts.json', 'the facts of layer DIFF (facts.json) are not in a file', fifoWithLateWriter],
    ['a folder', 'facts.json', 'the facts of layer DIFF (facts.json) are not in a file', (at) => mkdirSync(at)],
    ['a symlink', 'facts.json', 'the facts of layer DIFF (facts.json) are not in a file', linkToCopy],
    ['a symlink', 'fs', 'layer DIFF has no folder fs', linkToCopy],
    ['a file', 'fs', 'layer DIFF has no folder fs', (at) => writeFileSync(at, '')],
    ['a file', '', 'layer DIFF is not unpacked on this node', (at) => writeFileSync(at, '')],
  ])(
    "finds %s in the place of a layer's %s",
    async (_, name, problem, put) => {
      const { store, layer } = await storeWithImage();
      const at = path.join(store.layers.folder(layer.diffId), name);
      await rename(at, `${store.root}/moved`);
      put(at);
      const finding = { step: 'layers', problem: problem.replace('DIFF', layer.diffId) };
      expect(store.layers.has(layer.diffId)).toBe(false);
      expect((await store.check({ depth: 'quick' })).findings).toMatchObject([{ ...finding, state: 'found' }]);
      const { findings } = await store.check({ repair: hooksFor(store, []) });
      expect(findings).toMatchObject([{ ...finding, state: 'repaired' }]);
      expect(store.layers.has(layer.diffId)).toBe(true);
      expect((await store.check()).findings).toEqual([]);
      await store.collectGarbage();
      expect(await readdir(`${store.root}/trash`)).toEqual([]);
    },
    5000,
  );

  test('finds a symlink in the place of a fix-up layer, and one that leads nowhere in that of its entries', async () => {
    const store = await testStore();
    const chainId = digestOf('chain');
    for (const name of ['fs', 'entries']) {
      const writer = await store.fixUps.prepare(chainId);
      await writer!.publish();
      const at = path.join(store.fixUps.folder(chainId), name);
      await rm(at, { recursive: true, force: true });
      await symlink(name === 'fs' ? store.root : 'nowhere', at);
      const options = { repair: hooksFor(store, []), verifyLayer: layerDeviations };
      expect((await store.check(options)).findings).toMatchObject([{ step: 'fix-ups', state: 'repaired' }]);
      expect(store.fixUps.state(chainId)).toBe('unknown');
    }
  });

  test('replaces a damaged layer while a container uses it, which keeps what it has mounted', async () => {
    const { store, image, layer } = await storeWithImage();
    const lease = store.leases.acquire({ images: [image.id] });
    await writeFile(path.join(store.layers.dir(layer.diffId), 'file'), 'damaged');
    const options = { repair: hooksFor(store, []), verifyLayer: async () => ['damaged'] };
    expect((await store.check(options)).findings).toMatchObject([{ state: 'repaired' }]);
    expect(await readFile(path.join(store.layers.dir(layer.diffId), 'file'), 'utf8')).toBe('hello');
    await store.collectGarbage();
    const [replaced] = await readdir(path.join(store.root, 'trash'));
    expect(await readFile(path.join(store.root, 'trash', replaced!, 'fs/file'), 'utf8')).toBe('damaged');
    lease.release();
    await store.collectGarbage();
    expect(await readdir(path.join(store.root, 'trash'))).toEqual([]);
  });

  test('leaves a damaged layer alone when it cannot be unpacked again, or its blob is not there', async () => {
    const { store, layer } = await storeWithImage();
    const unpackLayer = async () => {
      throw new Error('no room');
    };
    const options = { repair: { ...hooksFor(store, []), unpackLayer }, verifyLayer: async () => ['damaged'] };
    expect((await store.check(options)).findings).toMatchObject([{ state: 'not-repaired', reason: 'no room' }]);
    expect(store.layers.has(layer.diffId)).toBe(true);
    await rm(store.blobs.path(layer.descriptor.digest));
    const { findings } = await store.check(options);
    expect(findings.map(({ step, state }) => [step, state])).toEqual([
      ['blobs', 'not-repaired'],
      ['layers', 'not-repaired'],
    ]);
    expect(store.layers.has(layer.diffId)).toBe(true);
  });

  test('fetches the blob of a damaged layer that was never fetched, since another one had the same content', async () => {
    const { store, image, layer } = await storeWithImage();
    const config = { ...image.config, digest: await store.blobs.put(Buffer.from('config of b')) };
    const descriptor = { ...layer.descriptor, digest: digestOf('other blob'), size: 10 };
    const layers = [{ descriptor, diffId: layer.diffId, blobNotStored: true as const }];
    store.images.publish({ ...image, id: config.digest, config, layers }, [
      { name: 'example.com/b:1', target: image.manifest },
    ]);
    expect((await store.check()).findings).toEqual([]);
    store.images.remove(image.id);
    await store.collectGarbage();
    const repair = hooksFor(store, ['other blob']);
    const { findings } = await store.check({ repair, verifyLayer: async () => ['damaged'] });
    expect(findings).toMatchObject([{ step: 'layers', state: 'repaired' }]);
    expect(repair.fetchBlob).toHaveBeenCalledExactlyOnceWith(descriptor, ['example.com/b:1']);
    expect(repair.unpackLayer).toHaveBeenCalledExactlyOnceWith(layer.diffId, descriptor);
  });

  test.each([
    ['open for reading', { readOnly: true }],
    ['open for repair', {}],
  ])('of a store that is %s finds nothing wrong with what another process removes meanwhile', async (_, options) => {
    const { store: writer, image } = await storeWithImage();
    const fixUp = await writer.fixUps.prepare(digestOf('chain'));
    await fixUp!.publish();
    const { root } = writer;
    writer.close();
    const store = await openStore(root, options);
    onTestFinished(() => store.close());
    const known = store.images.list();
    const size = vi.spyOn(store.blobs, 'size').mockImplementationOnce(async (digest) => {
      const other = await openStore(root);
      other.images.remove(image.id);
      await other.collectGarbage();
      other.close();
      return other.blobs.size(digest);
    });
    const { findings } = await store.check({ verifyLayer: async () => ['missing'] });
    expect(findings).toEqual([]);
    expect([known.length, store.images.list().length]).toEqual([1, 0]);
    expect(size).toHaveBeenCalled();
  });

  test('names leftovers apart: they are no problem, and the next collection takes them', async () => {
    const { store, image } = await storeWithImage();
    const ingest = await store.blobs.openIngest('unfinished');
    await ingest.append(Buffer.from('some'));
    await ingest.pause();
    expect(await store.check()).toMatchObject({ findings: [], leftovers: [] });
    store.images.remove(image.id);
    const later = await testStore({ root: store.root, now: () => Date.now() + 30 * hourMs });
    const { findings, leftovers, steps } = await later.check();
    expect(findings).toEqual([]);
    expect(leftovers).toEqual(expect.arrayContaining([image.layers[0]!.diffId, image.manifest.digest, 'unfinished']));
    expect(steps.map(({ name }) => name)).toEqual([
      ...['database', 'blobs', 'layers', 'fix-ups', 'images', 'names', 'leftovers'],
    ]);
    expect(steps.at(-1)!.count).toBe(leftovers.length);
    await later.collectGarbage();
    expect((await later.check()).leftovers).toEqual([]);
  });

  test('counts what is in the trash as left over, but not what a container has; repair deletes what it took', async () => {
    const { store, image, layer } = await storeWithImage();
    const lease = store.leases.acquire({ images: [image.id] });
    await publishLayer(store, layer.diffId, { replace: true });
    expect((await store.check()).leftovers).toEqual([]);
    lease.release();
    expect((await store.check()).leftovers).toEqual([expect.stringMatching(/^trash\/[0-9a-f]{16}-[0-9a-f]{64}$/)]);
    await rm(store.blobs.path(image.config.digest));
    await writeFile(store.blobs.path(image.config.digest), 'other');
    const { leftovers, notDeleted } = await store.check({ repair: hooksFor(store, ['config of a']) });
    expect({ leftovers, notDeleted }).toEqual({ leftovers: [], notDeleted: [] });
    expect(await readdir(path.join(store.root, 'trash'))).toEqual([]);
  });

  test('finds a lost fix-up layer; repair lets it be worked out again', async () => {
    const { store } = await storeWithImage();
    const chainId = digestOf('chain');
    const writer = await store.fixUps.prepare(chainId);
    await writer!.publish();
    await rm(store.fixUps.folder(chainId), { recursive: true });
    expect((await store.check()).findings).toMatchObject([{ step: 'fix-ups', subject: chainId, state: 'found' }]);
    await store.check({ repair: hooksFor(store, []) });
    expect((await store.check()).findings).toEqual([]);
    expect(store.fixUps.state(chainId)).toBe('unknown');
  });

  test('removes a name whose image is gone', async () => {
    const { store } = await storeWithImage();
    store.database.run('DELETE FROM images');
    expect((await store.check()).findings).toMatchObject([{ step: 'names', subject: 'example.com/a:1' }]);
    await store.check({ repair: hooksFor(store, []) });
    expect(store.names.list()).toEqual([]);
  });
});
