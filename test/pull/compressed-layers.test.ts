import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { mount, umount2, unmountFlags } from '../../src/lib/libc.ts';
import { isImageComplete, layerDeviations, repairHooks, rootfsOf } from '../../src/pull/index.ts';
import type { Store } from '../../src/store/index.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { rootMissing } from '../support/root.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { pull, reference, testNode } from './support/node.ts';
import { recordingProxy } from './support/recording-proxy.ts';
import { noise, pushImage, tarOf, testImage } from './support/test-image.ts';

const pullProcess = fileURLToPath(new URL('support/pull-process.ts', import.meta.url));
const base = tarOf({ 'a/': '', 'a/one': noise(3_000_000, 1) });
const image = testImage({ layers: [base, tarOf({ 'a/two': noise(500_000, 2) }), tarOf({ 'b/three': 'three' })] });
const derived = testImage({ layers: [base, tarOf({ 'c/four': 'four' })] });
const layerBytes = image.layers.reduce((sum, { size }) => sum + size, 0);
const lessThanAll = ['untilUnpacked', 'never'] as const;

const missing = dockerRegistryMissing ?? rootMissing;

describe.skipIf(missing)(`compressed layers (needs: ${missing ?? 'nothing more'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
    await pushImage(registry, 'app', '1', image);
    await pushImage(registry, 'app', 'derived', derived);
  });
  afterAll(() => registry.close());

  test.each(lessThanAll)('%s: a pull leaves none, and nobody misses them', async (keepCompressedLayers) => {
    const deps = await testNode({ store: { keepCompressedLayers } });
    const { store } = deps;
    expect(await pull(deps, reference(registry, 'app:1'))).toMatchObject({
      layersFetched: 3,
      bytesFetched: layerBytes,
    });
    await expectNoLayerBlobs(store);
    const record = store.images.get(image.config.digest)!;
    expect(record.layers.every(({ blobNotStored }) => blobNotStored)).toBe(true);
    expect(await isImageComplete(store, record)).toBe(true);
    expect((await rootfsOf(deps, record.id)).lowers).toHaveLength(3);
    expect(await pull(deps, reference(registry, 'app:1'))).toMatchObject({ layersFetched: 0, bytesFetched: 0 });
    expect(await pull(deps, reference(registry, 'app:derived'))).toMatchObject({ layersFetched: 1 });
    await expectNoLayerBlobs(store);
    await store.collectGarbage();
    expect(store.images.list()).toHaveLength(2);
    await expectSound(store);
  });

  test('never: no byte of a layer is on disk as it came, at any time', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode({ store: { keepCompressedLayers: 'never' } });
    const seen = new Set<string>();
    proxy.behaviour = {
      beforePiece: async () => {
        for (const key of await readdir(path.join(deps.store.root, 'ingest')).catch(() => [])) seen.add(key);
        return true;
      },
    };
    await pull(deps, reference(proxy, 'app:1'));
    expect([...seen].some((key) => key.startsWith('layer-'))).toBe(true);
    const layerKeys = image.layers.map(({ digest }) => `blob-${digest.replace(':', '-')}`);
    expect([...seen].filter((key) => layerKeys.includes(key))).toEqual([]);
  });

  test('never: content that is not what its digest says, or no layer, leaves nothing', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode({ store: { keepCompressedLayers: 'never' } });
    proxy.behaviour = {
      alter: (_, bytes) => (bytes.byteLength < 100_000 ? bytes : Buffer.from(bytes).fill(7, 50_000, 50_010)),
    };
    const altered = pull(deps, reference(proxy, 'app:1'));
    await expect(altered).rejects.toMatchObject({ code: 'ERR_LADING_DIGEST_MISMATCH' });
    const noTar = testImage({ layers: [noise(2_000_000, 9)], compress: (tar) => tar });
    await pushImage(registry, 'app', 'no-tar', noTar);
    const broken = pull(deps, reference(registry, 'app:no-tar'));
    await expect(broken).rejects.toMatchObject({
      data: { class: 'bad-tar' },
      message: expect.stringContaining(`layer ${noTar.layers[0]!.digest}: `),
    });
    expect(await readdir(path.join(deps.store.root, 'ingest'))).toEqual([]);
    expect(deps.store.images.list()).toEqual([]);
    await expectSound(deps.store);
  });

  test.skipIf(process.getuid?.() !== 0)('never: a disk that gets full says so (needs root)', async () => {
    const mountPoint = await temporaryFolder();
    mount('tmpfs', mountPoint, 'tmpfs', 0, 'size=16m');
    onTestFinished(() => umount2(mountPoint, unmountFlags.detach));
    // Small files take whole pages, so that the disk is full before the layer is known to be too large for it.
    const files = Array.from({ length: 11_000 }, (_, index) => [`f${index}`, noise(500, index)]);
    const small = testImage({ layers: [tarOf(Object.fromEntries(files))] });
    await pushImage(registry, 'app', 'small-files', small);
    const store = { keepCompressedLayers: 'never' } as const;
    const deps = await testNode({ root: path.join(mountPoint, 'node'), store });
    await expect(pull(deps, reference(registry, 'app:small-files'))).rejects.toMatchObject({
      code: 'ERR_LADING_DISK_FULL',
    });
    await expectSound(deps.store);
  });

  test('never: an aborted pull leaves nothing, and the next one begins anew', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode({ store: { keepCompressedLayers: 'never' } });
    const abort = new AbortController();
    proxy.behaviour = {
      beforePiece: ({ bytes }) => {
        if (bytes > 500_000) abort.abort(new Error('enough'));
        return true;
      },
    };
    await expect(pull(deps, reference(proxy, 'app:1'), { signal: abort.signal })).rejects.toThrow('enough');
    const ingests = await readdir(path.join(deps.store.root, 'ingest'));
    expect(ingests.filter((key) => key.startsWith('layer-'))).toEqual([]);
    proxy.behaviour = {};
    await pull(deps, reference(proxy, 'app:1'));
    expect(proxy.passed.filter(({ from }) => from > 0)).toEqual([]);
    await expectSound(deps.store);
  });

  test.each(lessThanAll)('%s: pulls at once, in two processes too, leave none', async (keepCompressedLayers) => {
    const root = path.join(await temporaryFolder(), 'node');
    const deps = await testNode({ root, store: { keepCompressedLayers } });
    await Promise.all([
      pull(deps, reference(registry, 'app:1')),
      pull(deps, reference(registry, 'app:derived')),
      run(root, keepCompressedLayers),
    ]);
    await deps.store.collectGarbage();
    await expectNoLayerBlobs(deps.store);
    await expectSound(deps.store);
  });

  test('a collection removes those that an earlier policy has kept, and none that is leased', async () => {
    const root = path.join(await temporaryFolder(), 'node');
    const before = await testNode({ root });
    await pull(before, reference(registry, 'app:1'));
    const after = await testNode({ root, store: { keepCompressedLayers: 'untilUnpacked' } });
    const lease = after.store.leases.acquire({ digests: [image.layers[0]!.digest] });
    expect((await after.store.collectGarbage({ dryRun: true })).blobs).toHaveLength(2);
    expect((await after.store.collectGarbage()).blobs).toHaveLength(2);
    await expectSound(after.store);
    lease.release();
    expect((await after.store.collectGarbage()).blobs).toEqual([image.layers[0]!.digest]);
    await expectNoLayerBlobs(after.store);
    await expectSound(after.store);
  });

  test('repair fetches the blob of a damaged layer again and does not keep it', async () => {
    const deps = await testNode({ store: { keepCompressedLayers: 'untilUnpacked' } });
    await pull(deps, reference(registry, 'app:1'));
    await writeFile(path.join(deps.store.layers.dir(image.diffIds[1]!), 'a/two'), 'damaged');
    const options = { verifyLayer: layerDeviations, repair: repairHooks(deps) };
    expect((await deps.store.check(options)).findings).toMatchObject([{ step: 'layers', state: 'repaired' }]);
    await expectNoLayerBlobs(deps.store);
    await expectSound(deps.store);
  });

  test.each([
    ['untilUnpacked', 'layer-published'],
    ['untilUnpacked', 'layer-blobs-forgotten:2'],
    ['untilUnpacked', 'layer-blobs-taken'],
    ['never', 'folder-written'],
    ['never', 'folder-renamed:2'],
    ['never', 'layer-published:3'],
  ] as const)('%s: a kill at %s leaves a sound store, and the next pull the same as ever', async (policy, point) => {
    const root = path.join(await temporaryFolder(), 'node');
    expect(await run(root, policy, { LADING_CRASH_AT: point })).toEqual([null, 'SIGKILL']);
    const deps = await testNode({ root, store: { keepCompressedLayers: policy } });
    await expectSound(deps.store);
    expect(await run(root, policy)).toEqual([0, null]);
    await deps.store.collectGarbage();
    await expectNoLayerBlobs(deps.store);
    await expectSound(deps.store);
  });

  function run(root: string, policy: string, env: Record<string, string> = {}): Promise<unknown[]> {
    const child: ChildProcess = spawn(process.execPath, [pullProcess, root, `${registry.address}/app:1`, policy], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    return once(child, 'exit');
  }
});

/** What is stored beside the layers is less than one of them. */
async function expectNoLayerBlobs(store: Store): Promise<void> {
  for (const { digest } of [...image.layers, ...derived.layers]) expect(await store.blobs.size(digest)).toBeUndefined();
  const usage = await store.diskUsage();
  expect(usage.ingests.count).toBe(0);
  expect(usage.blobs.bytes).toBeLessThan(5000);
}

async function expectSound(store: Store): Promise<void> {
  expect((await store.check({ verifyLayer: layerDeviations })).findings).toEqual([]);
}
