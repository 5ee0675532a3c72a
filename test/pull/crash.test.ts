import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { layerDeviations } from '../../src/pull/index.ts';
import { BlobStore } from '../../src/store/index.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { rootMissing } from '../support/root.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { testNode } from './support/node.ts';
import { type RecordingProxy, recordingProxy } from './support/recording-proxy.ts';
import { noise, pushImage, tarOf, testImage } from './support/test-image.ts';

const missing = dockerRegistryMissing ?? rootMissing;

const pullProcess = fileURLToPath(new URL('support/pull-process.ts', import.meta.url));

const image = testImage({
  layers: [
    tarOf({ 'a/': '', 'a/one': noise(4_000_000, 1) }),
    tarOf({ 'a/two': noise(3_000_000, 2) }),
    tarOf({ 'b/': '', 'b/three': noise(2_000_000, 3) }),
    tarOf({ 'b/four': 'four' }),
  ],
});
const totalBytes = image.layers.reduce((sum, { size }) => sum + size, 0);
const layerDigests = new Set(image.layers.map(({ digest }) => digest));

describe.skipIf(missing)(`a pull that is killed (needs: ${missing ?? 'nothing more'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
    await pushImage(registry, 'app', '1', image);
  });
  afterAll(() => registry.close());

  test('twenty times while it downloads goes on each time where it was', { timeout: 180_000 }, async () => {
    const proxy = await recordingProxy(registry);
    const root = path.join(await temporaryFolder(), 'node');
    for (let kill = 0; kill < 20; kill += 1) {
      const before = await storedBytes(root);
      expect(await pullUntil(proxy, root, { pieces: 1 + ((kill * 7919) % 11) })).toEqual([null, 'SIGKILL']);
      expectResumed(proxy, before);
    }
    await expectNothingHalf(root);
    const before = await storedBytes(root);
    expect([...before.values()].reduce((sum, bytes) => sum + bytes, 0)).toBeGreaterThan(500_000);
    proxy.behaviour = {};
    expect(await run(proxy, root)).toEqual([0, null]);
    expectResumed(proxy, before);
    await expectComplete(root);
  });

  test.each([
    ...['blob-synced', 'blob-renamed:2', 'blob-published:5', 'folder-written', 'folder-synced:2'],
    ...['folder-renamed', 'folder-renamed:3', 'layer-published:4'],
  ])('at %s is completed by the next one, which fetches no stored blob again', async (point) => {
    const proxy = await recordingProxy(registry);
    const root = path.join(await temporaryFolder(), 'node');
    expect(await run(proxy, root, { LADING_CRASH_AT: point })).toEqual([null, 'SIGKILL']);
    const before = await storedBytes(root);
    await expectNothingHalf(root);
    proxy.take();
    expect(await run(proxy, root)).toEqual([0, null]);
    expectResumed(proxy, before);
    await expectComplete(root);
  });

  test('two processes at once on one store fetch each layer once', async () => {
    const proxy = await recordingProxy(registry);
    const root = path.join(await temporaryFolder(), 'node');
    expect(await Promise.all([run(proxy, root), run(proxy, root)])).toEqual([
      [0, null],
      [0, null],
    ]);
    for (const digest of layerDigests) expect(proxy.passed.filter(({ blob }) => blob === digest)).toHaveLength(1);
    await expectComplete(root);
  });

  /** Kills the puller when it has got so many pieces; more than it can get in that time are on offer. */
  async function pullUntil(proxy: RecordingProxy, root: string, { pieces }: { pieces: number }): Promise<unknown[]> {
    proxy.behaviour = {
      pieceBytes: 32 * 1024,
      beforePiece: () => new Promise((resolve) => setTimeout(resolve, 2, true)),
    };
    const child = start(proxy, root);
    let got = 0;
    child.stdout!.on('data', (dots: Buffer) => {
      got += dots.byteLength;
      if (got >= pieces) child.kill('SIGKILL');
    });
    return once(child, 'exit');
  }

  function start(proxy: RecordingProxy, root: string, env: Record<string, string> = {}): ChildProcess {
    const child = spawn(process.execPath, [pullProcess, root, `${proxy.address}/app:1`], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    return child;
  }

  function run(proxy: RecordingProxy, root: string, env: Record<string, string> = {}): Promise<unknown[]> {
    const child = start(proxy, root, env);
    child.stdout!.resume();
    return once(child, 'exit');
  }
});

/** Each request began where the disk ended, and nothing was asked for that was complete. Forgets the requests. */
function expectResumed(proxy: RecordingProxy, before: ReadonlyMap<string, number>): void {
  for (const { blob, from } of proxy.passed.splice(0)) {
    if (!blob || !layerDigests.has(blob)) continue;
    expect({ blob, from }).toEqual({ blob, from: before.get(blob) ?? 0 });
    expect(from).toBeLessThan(image.layers.find(({ digest }) => digest === blob)!.size);
  }
}

/** Bytes of each layer's blob that are on disk, stored or on the way. */
async function storedBytes(root: string): Promise<Map<string, number>> {
  const blobs = new BlobStore(root);
  const sizes = await Promise.all(
    image.layers.map(async ({ digest }) => {
      const bytes = (await blobs.size(digest)) ?? (await blobs.ingestSize(`blob-${digest.replace(':', '-')}`));
      return [digest, bytes] as const;
    }),
  );
  return new Map(sizes.filter(([, bytes]) => bytes > 0));
}

async function expectNothingHalf(root: string): Promise<void> {
  const { store } = await testNode({ root });
  expect(store.images.list()).toEqual([]);
  expect(store.names.list()).toEqual([]);
  expect((await store.check({ verifyLayer: layerDeviations })).findings).toEqual([]);
  await store.collectGarbage();
}

async function expectComplete(root: string): Promise<void> {
  const { store } = await testNode({ root });
  expect(store.images.list().map(({ id }) => id)).toEqual([image.config.digest]);
  expect((await store.check({ verifyLayer: layerDeviations })).findings).toEqual([]);
  await store.collectGarbage();
  const usage = await store.diskUsage();
  expect(usage.ingests.count).toBe(0);
  expect(usage.blobs.bytes).toBe(totalBytes + image.config.size + image.manifest.size);
  expect(usage.layers.count).toBe(4);
}
