import { spawnSync } from 'node:child_process';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import { digestOf, mediaTypes } from '../../src/oci/index.ts';
import {
  executePull,
  type LayerProgress,
  layerDeviations,
  type PullProgress,
  planPull,
  repairHooks,
} from '../../src/pull/index.ts';
import type { Store } from '../../src/store/index.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { rootMissing } from '../support/root.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { pull, reference, testNode } from './support/node.ts';
import { recordingProxy } from './support/recording-proxy.ts';
import { noise, pushImage, tarOf, testImage } from './support/test-image.ts';

const missing = dockerRegistryMissing ?? rootMissing;

const base = tarOf({ 'etc/': '', 'etc/name': 'base' });
const image = testImage({
  layers: [base, tarOf({ small: 'small' }), tarOf({ 'etc/big': noise(3_000_000, 1) }), tarOf({ 'etc/name': 'top' })],
});
const [, , bigLayer] = image.layers;

describe.skipIf(missing)(`executePull (needs: ${missing ?? 'nothing more'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
    await pushImage(registry, 'app', '1', image);
  });
  afterAll(() => registry.close());

  test('cold: fetches each blob once, the largest first, and makes image and names visible', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode();
    const { store } = deps;
    const progress: PullProgress[] = [];
    const result = await pull(deps, reference(proxy, 'app:1'), { onProgress: (event) => progress.push(event) });
    const layerBytes = image.layers.reduce((sum, { size }) => sum + size, 0);
    expect(result).toEqual({
      imageId: image.config.digest,
      target: image.manifest,
      bytesFetched: layerBytes,
      layersFetched: 4,
    });
    const blobRequests = proxy.passed.filter(({ blob }) => blob !== undefined && blob !== image.config.digest);
    const firstAtOnce = blobRequests.slice(0, 3).map(({ blob }) => blob);
    expect(firstAtOnce).toContain(bigLayer!.digest);
    expect(blobRequests.map(({ blob }) => blob).sort()).toEqual(image.layers.map(({ digest }) => digest).sort());

    const name = `${proxy.address}/app`;
    expect(store.names.list().map((record) => [record.name, record.imageId])).toEqual([
      [`${name}:1`, image.config.digest],
      [`${name}@${image.manifest.digest}`, image.config.digest],
    ]);
    expect(store.images.get(image.config.digest)).toMatchObject({
      manifest: image.manifest,
      layers: image.layers.map((descriptor, index) => ({ descriptor, diffId: image.diffIds[index] })),
      size: layerBytes + image.manifest.size + image.config.size,
    });
    expect(await readFile(path.join(store.layers.dir(image.diffIds[3]!), 'etc/name'), 'utf8')).toBe('top');
    await expectSound(store);
    expect(store.leases.keys('blob').size).toBe(0);
    expect(progress.slice(0, 4)).toEqual(
      image.layers.map(({ digest, size }) => ({ layer: digest, size, state: 'waiting', bytes: 0 })),
    );
    expect(statesOf(progress, bigLayer!.digest)).toEqual(['waiting', 'downloading', 'verifying', 'unpacking', 'done']);
    expect(progress.at(-1)).toEqual({ image: image.config.digest, state: 'published' });
  });

  test('warm: exactly one HEAD, and the name counts as seen again', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode();
    await pull(deps, reference(proxy, 'app:1'));
    const before = deps.store.names.get(`${proxy.address}/app:1`)!;
    proxy.take();
    const progress: PullProgress[] = [];
    const result = await pull(deps, reference(proxy, 'app:1'), { onProgress: (event) => progress.push(event) });
    expect(proxy.take()).toEqual(['HEAD /v2/app/manifests/1']);
    expect(result).toMatchObject({ imageId: image.config.digest, bytesFetched: 0, layersFetched: 0 });
    const after = deps.store.names.get(`${proxy.address}/app:1`)!;
    expect(after.firstSeen).toBe(before.firstSeen);
    expect(Date.parse(after.lastSeen)).toBeGreaterThanOrEqual(Date.parse(before.lastSeen));
    expect(progress.filter((event) => 'layer' in event && event.state === 'exists')).toHaveLength(4);
  });

  test('a tag that moved fetches only what is new, keeps history, and the old image keeps its digest name', async () => {
    const deps = await testNode();
    await pushImage(registry, 'moving', 'latest', image);
    await pull(deps, reference(registry, 'moving'));
    const next = testImage({ layers: [base, tarOf({ fresh: 'fresh' })] });
    await pushImage(registry, 'moving', 'latest', next);
    const result = await pull(deps, reference(registry, 'moving'));
    expect(result).toMatchObject({ imageId: next.config.digest, layersFetched: 1, bytesFetched: next.layers[1]!.size });
    const name = `${registry.address}/moving`;
    expect(deps.store.names.history(`${name}:latest`).map(({ digest }) => digest)).toEqual([
      next.manifest.digest,
      image.manifest.digest,
    ]);
    expect(deps.store.names.get(`${name}@${image.manifest.digest}`)?.imageId).toBe(image.config.digest);
    await deps.store.collectGarbage();
    expect(deps.store.images.list()).toHaveLength(2);
    await expectSound(deps.store);
  });

  test('a layer that is here unpacked from another blob is not fetched; check and repair know that', async () => {
    const deps = await testNode();
    await pull(deps, reference(registry, 'app:1'));
    const same = testImage({
      layers: [gunzipSync(image.blobs[1]!)],
      compress: (tar) => tar,
      layerMediaType: mediaTypes.ociLayer,
    });
    await pushImage(registry, 'plain', '1', same);
    expect(await pull(deps, reference(registry, 'plain:1'))).toMatchObject({ layersFetched: 0, bytesFetched: 0 });
    expect(await deps.store.blobs.size(same.layers[0]!.digest)).toBeUndefined();
    await expectSound(deps.store);
  });

  test('the same image from a manifest whose blobs do not come does not take the place of one that has its blobs', async () => {
    const deps = await testNode();
    const { store } = deps;
    await pull(deps, reference(registry, 'app:1'));
    const tars = image.blobs.slice(1).map((blob) => gunzipSync(blob));
    const again = testImage({ layers: tars, compress: (tar) => gzipSync(tar, { level: 1 }) });
    expect(again.config.digest).toBe(image.config.digest);
    await pushImage(registry, 'again', '1', again);
    expect(await pull(deps, reference(registry, 'again:1'))).toMatchObject({ layersFetched: 0 });
    expect(store.names.get(`${registry.address}/again:1`)?.target.digest).toBe(again.manifest.digest);
    await store.collectGarbage();
    const kept = store.images.get(image.config.digest)!;
    expect(kept.manifest.digest).toBe(image.manifest.digest);
    for (const { digest, size } of [kept.manifest, ...image.layers]) expect(await store.blobs.size(digest)).toBe(size);
    expect((await planPull(deps, reference(registry, 'again:1'))).alreadyPresent).toBe(true);
    await expectSound(store);
  });

  test('a stored blob that was damaged since is fetched again, once', async () => {
    const deps = await testNode();
    const { store } = deps;
    await pull(deps, reference(registry, 'app:1'));
    store.images.remove(image.config.digest);
    const lease = store.leases.acquire({ digests: image.layers.map(({ digest }) => digest) });
    await store.collectGarbage();
    expect(store.layers.list()).toEqual([]);
    const damaged = store.blobs.path(bigLayer!.digest);
    const bytes = await readFile(damaged);
    await rm(damaged);
    await writeFile(damaged, bytes.fill(7, 1_000_000, 1_000_100));
    const result = await pull(deps, reference(registry, 'app:1'));
    expect(result).toMatchObject({ layersFetched: 1, bytesFetched: bigLayer!.size });
    lease.release();
    await expectSound(store);
  });

  test('an interrupted download fetches only the missing bytes', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode();
    const abort = new AbortController();
    const storedBytes = () => deps.store.blobs.ingestSize(`blob-${bigLayer!.digest.replace(':', '-')}`);
    proxy.behaviour = {
      beforePiece: ({ blob, bytes }) => blob !== bigLayer!.digest || bytes < 2_000_000 || holdOn(abort, storedBytes),
    };
    await expect(pull(deps, reference(proxy, 'app:1'), { signal: abort.signal })).rejects.toThrow('enough');
    expect(deps.store.images.list()).toEqual([]);
    proxy.behaviour = {};
    proxy.passed.length = 0;

    const plan = await planPull(deps, reference(proxy, 'app:1'));
    const partial = plan.layers.find(({ state }) => state === 'partial');
    expect(partial?.descriptor).toEqual(bigLayer);
    expect(partial!.bytesToFetch).toBeLessThan(bigLayer!.size);
    const { bytesFetched } = await pull(deps, reference(proxy, 'app:1'));
    expect(bytesFetched).toBe(plan.bytesToFetch);
    const again = proxy.passed.filter(({ blob }) => blob === bigLayer!.digest);
    expect(again).toMatchObject([
      { from: bigLayer!.size - partial!.bytesToFetch, status: 206, bytes: partial!.bytesToFetch },
    ]);
    await expectSound(deps.store);
  });

  test('an interrupted download that was damaged on disk is fetched whole, once', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode();
    const ingest = await deps.store.blobs.openIngest(`blob-${bigLayer!.digest.replace(':', '-')}`);
    await ingest.append(Buffer.alloc(1_000_000, 'damage'));
    await ingest.pause();
    const { bytesFetched } = await pull(deps, reference(proxy, 'app:1'));
    const requests = proxy.passed.filter(({ blob }) => blob === bigLayer!.digest);
    expect(requests.map(({ from }) => from)).toEqual([1_000_000, 0]);
    expect(bytesFetched).toBe(image.layers.reduce((sum, { size }) => sum + size, 0) + bigLayer!.size - 1_000_000);
    await expectSound(deps.store);
  });

  test.each([
    ['other bytes', (bytes: Buffer) => Buffer.alloc(bytes.byteLength, 'lie'), /has the digest/],
    [
      'a changed last byte',
      (bytes: Buffer) => Buffer.concat([bytes.subarray(0, -1), Buffer.from('!')]),
      /has the digest/,
    ],
  ])('a server that sends %s is refused, and nothing becomes visible', async (_, lie, message) => {
    const proxy = await recordingProxy(registry);
    proxy.behaviour = { alter: (blob, bytes) => (blob === bigLayer!.digest ? lie(bytes) : bytes) };
    const deps = await testNode();
    await expect(pull(deps, reference(proxy, 'app:1'))).rejects.toMatchObject({
      code: 'ERR_LADING_DIGEST_MISMATCH',
      message: expect.stringMatching(message),
    });
    expect(proxy.passed.filter(({ blob }) => blob === bigLayer!.digest)).toHaveLength(1);
    expect(deps.store.images.list()).toEqual([]);
    expect(deps.store.names.list()).toEqual([]);
    expect(await deps.store.blobs.size(bigLayer!.digest)).toBeUndefined();
    expect(deps.store.layers.has(image.diffIds[2]!)).toBe(false);
    expect((await deps.store.check({ verifyLayer: layerDeviations })).findings).toEqual([]);
  });

  test('layers that unpack to something else than the configuration says are refused', async () => {
    const wrong = testImage({ layers: [base], diffIds: [digestOf('something else')] });
    await pushImage(registry, 'wrong', '1', wrong);
    const deps = await testNode();
    await expect(pull(deps, reference(registry, 'wrong:1'))).rejects.toMatchObject({
      code: 'ERR_LADING_LAYER_DIGEST_MISMATCH',
    });
    expect(deps.store.images.list()).toEqual([]);
    expect(await readdir(path.join(deps.store.root, 'layers'))).toEqual([]);
    await expectSound(deps.store);
  });

  test('two pulls at once in one process share the work', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode();
    const progress: PullProgress[] = [];
    const results = await Promise.all([
      pull(deps, reference(proxy, 'app:1')),
      pull(deps, reference(proxy, 'app:1'), { onProgress: (event) => progress.push(event) }),
    ]);
    expect(results[0]!.imageId).toBe(results[1]!.imageId);
    expect(results[0]!.bytesFetched + results[1]!.bytesFetched).toBe(
      image.layers.reduce((sum, { size }) => sum + size, 0),
    );
    for (const { digest } of image.layers) expect(proxy.passed.filter(({ blob }) => blob === digest)).toHaveLength(1);
    expect(statesOf(progress, bigLayer!.digest).at(-1)).toMatch(/done|exists/);
    await expectSound(deps.store);
  });

  test('a pull that is aborted leaves the work to the other one', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode();
    const abort = new AbortController();
    const joined = Promise.withResolvers<void>();
    proxy.behaviour = {
      beforePiece: async ({ blob, bytes }) => {
        if (blob !== bigLayer!.digest || bytes <= 1_000_000) return true;
        await joined.promise;
        abort.abort(new Error('no more'));
        return true;
      },
    };
    const settled = await Promise.allSettled([
      pull(deps, reference(proxy, 'app:1'), { signal: abort.signal }),
      pull(deps, reference(proxy, 'app:1'), {
        onProgress: (progress) => {
          if ('layer' in progress && progress.layer === bigLayer!.digest) joined.resolve();
        },
      }),
    ]);
    expect(settled).toMatchObject([{ status: 'rejected', reason: { message: 'no more' } }, { status: 'fulfilled' }]);
    expect(proxy.passed.filter(({ blob }) => blob === bigLayer!.digest)).toHaveLength(1);
    await expectSound(deps.store);
  });

  test('two stores on one root: who waited finds it there', async () => {
    const proxy = await recordingProxy(registry);
    const first = await testNode();
    const second = await testNode({ root: first.store.root });
    await Promise.all([pull(first, reference(proxy, 'app:1')), pull(second, reference(proxy, 'app:1'))]);
    for (const { digest } of image.layers) expect(proxy.passed.filter(({ blob }) => blob === digest)).toHaveLength(1);
    await expectSound(second.store);
  });

  test('a pull and the removal of the same image do not break each other', async () => {
    const puller = await testNode();
    const remover = await testNode({ root: puller.store.root });
    for (let round = 0; round < 5; round += 1) {
      await Promise.all([
        pull(puller, reference(registry, 'app:1')),
        (async () => {
          remover.store.images.remove(image.config.digest);
          await remover.store.collectGarbage();
        })(),
      ]);
      await expectSound(puller.store);
      const named = puller.store.names.get(`${registry.address}/app:1`);
      expect(puller.store.images.list().map(({ id }) => id)).toEqual(named ? [named.imageId] : []);
    }
  });

  test('an image without layers is an image', async () => {
    await pushImage(registry, 'empty', '1', testImage({ layers: [] }));
    const deps = await testNode();
    const { imageId } = await pull(deps, reference(registry, 'empty:1'));
    expect(deps.store.images.get(imageId)?.layers).toEqual([]);
  });

  test('without room for the download is refused before it begins', async () => {
    const deps = await testNode();
    const plan = await planPull(deps, reference(registry, 'app:1'));
    await expect(executePull(deps, { ...plan, bytesToFetch: 2 ** 60 })).rejects.toMatchObject({
      code: 'ERR_LADING_DISK_FULL',
      message: expect.stringMatching(/^cannot pull \S+\/app:1: no room on the disk .*, 1150PB are needed, [\d.]+.?B /),
    });
    expect(await readdir(path.join(deps.store.root, 'ingest')).catch(() => [])).toEqual([]);
  });

  test.skipIf(process.getuid?.() !== 0)('without room to unpack gives the space back (needs root)', async () => {
    const mountPoint = await temporaryFolder();
    expect(spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', mountPoint]).status).toBe(0);
    onTestFinished(() => void spawnSync('umount', ['-l', mountPoint]));
    await pushImage(registry, 'large', '1', testImage({ layers: [tarOf({ large: noise(9_000_000, 5) })] }));
    const deps = await testNode({ root: path.join(mountPoint, 'node') });
    await expect(pull(deps, reference(registry, 'large:1'))).rejects.toMatchObject({
      code: expect.stringMatching(/^ERR_LADING_(DISK_FULL|LAYER_TOO_LARGE)$/),
    });
    expect(await readdir(path.join(deps.store.root, 'layers'))).toEqual([]);
    expect((await deps.store.diskUsage()).blobs.count).toBe(0);
    await expectSound(deps.store);
  });

  test('what was damaged is fetched and unpacked again by check', async () => {
    const deps = await testNode();
    const { store } = deps;
    await pull(deps, reference(registry, 'app:1'));
    await rm(store.blobs.path(bigLayer!.digest));
    await rm(store.blobs.path(image.manifest.digest));
    await writeFile(path.join(store.layers.dir(image.diffIds[0]!), 'etc/name'), 'evil');
    const found = await store.check({ verifyLayer: layerDeviations });
    expect(found.findings.map(({ subject }) => subject).sort()).toEqual(
      [bigLayer!.digest, image.manifest.digest, image.diffIds[0]!].sort(),
    );
    const repaired = await store.check({ verifyLayer: layerDeviations, repair: repairHooks(deps) });
    expect(repaired.findings.map(({ state }) => state)).toEqual(['repaired', 'repaired', 'repaired']);
    await expectSound(store);
  });
});

/** Until something is on the disk. */
async function holdOn(abort: AbortController, storedBytes: () => Promise<number>): Promise<boolean> {
  await vi.waitUntil(async () => (await storedBytes()) > 0, { interval: 10, timeout: 10_000 });
  abort.abort(new Error('enough'));
  return true;
}

async function expectSound(store: Store): Promise<void> {
  expect((await store.check({ verifyLayer: layerDeviations })).findings).toEqual([]);
  expect(await readdir(path.join(store.root, 'ingest')).catch(() => [])).toEqual([]);
}

/** The states of a layer, each as often as it began. */
function statesOf(progress: readonly PullProgress[], layer: string): LayerProgress['state'][] {
  const states = progress.flatMap((event) => ('layer' in event && event.layer === layer ? [event.state] : []));
  return states.filter((state, index) => state !== states[index - 1]);
}
