import { existsSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf, hostPlatform, mediaTypes } from '../../src/oci/index.ts';
import { planPull } from '../../src/pull/index.ts';
import { openStore } from '../../src/store/index.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { rootMissing } from '../support/root.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { pull, reference, testNode } from './support/node.ts';
import { recordingProxy } from './support/recording-proxy.ts';
import { noise, pushImage, pushIndex, tarOf, testImage } from './support/test-image.ts';

const missing = dockerRegistryMissing ?? rootMissing;

const base = tarOf({ 'etc/': '', 'etc/base': 'base' });
const first = testImage({ layers: [base, tarOf({ first: noise(200_000, 1) })] });
const second = testImage({ layers: [base, tarOf({ second: 'second' })] });
const arm = { os: 'linux', architecture: 'arm64' };
const other = hostPlatform().architecture === 'arm64' ? { os: 'linux', architecture: 's390x' } : arm;

describe.skipIf(missing)(`planPull (needs: ${missing ?? 'nothing more'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
    await pushImage(registry, 'app', '1', first);
    await pushImage(registry, 'app', '2', second);
  });
  afterAll(() => registry.close());

  test('of an image that is not here names every byte, and writes nothing', async () => {
    const root = path.join(await temporaryFolder(), 'none');
    const deps = { ...(await testNode()), store: await openStore(root, { readOnly: true }) };
    const plan = await planPull(deps, reference(registry, 'app:1'));
    const size = first.layers[0]!.size + first.layers[1]!.size;
    expect(plan).toMatchObject({
      name: `${registry.address}/app:1`,
      target: first.manifest,
      manifest: first.manifest,
      imageId: first.config.digest,
      platform: hostPlatform(),
      layersToFetch: 2,
      bytesToFetch: size,
      alreadyPresent: false,
      warnings: [],
    });
    expect(plan.layers).toEqual(
      first.layers.map((descriptor, index) => ({
        descriptor,
        diffId: first.diffIds[index],
        state: 'missing',
        bytesToFetch: descriptor.size,
      })),
    );
    expect(plan.responseMs).toBeGreaterThan(0);
    deps.store.close();
    expect(existsSync(root)).toBe(false);
  });

  test('costs HEAD, manifest and configuration when nothing is here, and exactly one HEAD when all is', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode();
    await planPull(deps, reference(proxy, 'app:1'));
    expect(proxy.take()).toEqual([
      'HEAD /v2/app/manifests/1',
      `GET /v2/app/manifests/${first.manifest.digest}`,
      `GET /v2/app/blobs/${first.config.digest}`,
    ]);
    await pull(deps, reference(proxy, 'app:1'));
    proxy.take();
    const plan = await planPull(deps, reference(proxy, 'app:1'));
    expect(proxy.take()).toEqual(['HEAD /v2/app/manifests/1']);
    expect(plan).toMatchObject({
      alreadyPresent: true,
      layersToFetch: 0,
      bytesToFetch: 0,
      imageId: first.config.digest,
    });
    expect(plan.layers.map(({ state }) => state)).toEqual(['unpacked', 'unpacked']);
  });

  test('does not ask for what the store has under another name', async () => {
    const proxy = await recordingProxy(registry);
    const deps = await testNode();
    await pull(deps, reference(proxy, 'app:1'));
    await registry.putManifest('app', 'same', first.manifestBytes, mediaTypes.ociManifest);
    proxy.take();
    const same = await planPull(deps, reference(proxy, 'app:same'));
    expect(proxy.take()).toEqual(['HEAD /v2/app/manifests/same']);
    expect(same.alreadyPresent).toBe(true);
    const next = await planPull(deps, reference(proxy, 'app:2'));
    expect(next.layers.map(({ state }) => state)).toEqual(['unpacked', 'missing']);
    expect(next.bytesToFetch).toBe(second.layers[1]!.size);
  });

  test('tells a stored and a partly fetched blob from a missing one', async () => {
    const deps = await testNode();
    const [baseLayer, topLayer] = [first.layers[0]!, first.layers[1]!];
    await deps.store.blobs.put(first.blobs[1]!);
    const ingest = await deps.store.blobs.openIngest(`blob-sha256-${topLayer.digest.slice('sha256:'.length)}`);
    await ingest.append(first.blobs[2]!.subarray(0, 1000));
    await ingest.pause();
    const plan = await planPull(deps, reference(registry, 'app:1'));
    expect(plan.layers).toMatchObject([
      { descriptor: baseLayer, state: 'stored', bytesToFetch: 0 },
      { descriptor: topLayer, state: 'partial', bytesToFetch: topLayer.size - 1000 },
    ]);
    expect(plan).toMatchObject({ layersToFetch: 1, bytesToFetch: topLayer.size - 1000 });
  });

  test('counts a layer that an image has twice once', async () => {
    await pushImage(registry, 'twice', '1', testImage({ layers: [base, tarOf({ x: 'x' }), base] }));
    const plan = await planPull(await testNode(), reference(registry, 'twice:1'));
    expect(plan.layersToFetch).toBe(2);
    expect(plan.layers[2]!.bytesToFetch).toBe(0);
    expect(plan.bytesToFetch).toBe(plan.layers[0]!.descriptor.size + plan.layers[1]!.descriptor.size);
  });

  describe('of an index', () => {
    const attestation = {
      ...second.manifest,
      platform: { os: 'unknown', architecture: 'unknown' },
      annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
    };

    test('takes this platform, whatever stands first, and fetches only that branch', async () => {
      const proxy = await recordingProxy(registry);
      const index = await pushIndex(registry, 'app', 'index', [
        attestation,
        { ...second.manifest, platform: other },
        { ...first.manifest, platform: hostPlatform() },
      ]);
      const plan = await planPull(await testNode(), reference(proxy, 'app:index'));
      expect(plan.target).toEqual(index);
      expect(plan.manifest.digest).toBe(first.manifest.digest);
      expect(proxy.take().filter((line) => line.includes(second.manifest.digest))).toEqual([]);
    });

    test('goes down into nested indexes', async () => {
      const inner = await pushIndex(registry, 'app', 'inner', [{ ...first.manifest, platform: hostPlatform() }]);
      const outer = await pushIndex(registry, 'app', 'outer', [{ ...second.manifest, platform: other }, inner]);
      const plan = await planPull(await testNode(), reference(registry, 'app:outer'));
      expect(plan).toMatchObject({ target: outer, imageId: first.config.digest });
      expect(plan.documents.map(({ descriptor }) => descriptor.digest)).toEqual([
        outer.digest,
        inner.digest,
        first.manifest.digest,
        first.config.digest,
      ]);
    });

    test('reads the configuration of entries that do not say their platform', async () => {
      const foreign = testImage({ layers: [base], platform: other });
      await pushImage(registry, 'app', 'foreign', foreign);
      await pushIndex(registry, 'app', 'silent', [foreign.manifest, first.manifest]);
      const plan = await planPull(await testNode(), reference(registry, 'app:silent'));
      expect(plan.imageId).toBe(first.config.digest);
    });

    test('passes over artifacts, and says what they are when there is nothing else', async () => {
      const notes = testImage({ layers: [base], configMediaType: 'application/vnd.example.notes' });
      await pushImage(registry, 'app', 'notes', notes);
      await pushIndex(registry, 'app', 'with-notes', [notes.manifest, first.manifest]);
      const plan = await planPull(await testNode(), reference(registry, 'app:with-notes'));
      expect(plan.imageId).toBe(first.config.digest);
      await pushIndex(registry, 'app', 'notes-only', [notes.manifest]);
      await expect(planPull(await testNode(), reference(registry, 'app:notes-only'))).rejects.toMatchObject({
        code: 'ERR_LADING_NOT_AN_IMAGE',
      });
    });

    test('without this platform says what there is', async () => {
      await pushIndex(registry, 'app', 'none', [attestation, { ...first.manifest, platform: other }]);
      await expect(planPull(await testNode(), reference(registry, 'app:none'))).rejects.toMatchObject({
        code: 'ERR_LADING_PLATFORM_NOT_AVAILABLE',
        message: expect.stringMatching(/^no match for platform in manifest: .*it has linux\/\w+$/),
      });
    });

    test('takes another platform when asked', async () => {
      await pushIndex(registry, 'app', 'both', [
        { ...first.manifest, platform: hostPlatform() },
        { ...second.manifest, platform: other },
      ]);
      const deps = await testNode();
      await pull(deps, reference(registry, 'app:both'));
      const plan = await planPull(deps, reference(registry, 'app:both'), { platform: other });
      expect(plan.manifest.digest).toBe(second.manifest.digest);
      expect(plan.alreadyPresent).toBe(false);
    });
  });

  test('warns when a single manifest is for another platform, and goes on', async () => {
    await pushImage(registry, 'foreign', '1', testImage({ layers: [base], platform: other }));
    const plan = await planPull(await testNode(), reference(registry, 'foreign:1'));
    expect(plan.warnings).toEqual([expect.stringMatching(/^the image is for linux\/.*, not for linux\//)]);
  });

  test.each([
    ['an artifact', { configMediaType: 'application/vnd.example.config' }, 'ERR_LADING_NOT_AN_IMAGE'],
    ['unknown layers', { layerMediaType: 'application/vnd.erofs.layer.v1' }, 'ERR_LADING_LAYER_UNSUPPORTED_MEDIA_TYPE'],
    ['too few diffIDs', { diffIds: [] }, 'ERR_LADING_IMAGE_CONFIG_INVALID'],
    ['diffIDs of another kind', { diffIds: [digestOf(base, 'sha512')] }, 'ERR_LADING_IMAGE_CONFIG_INVALID'],
  ])('refuses %s before it downloads a layer', async (_, wrong, code) => {
    await pushImage(registry, 'wrong', '1', testImage({ layers: [base], ...wrong }));
    await expect(planPull(await testNode(), reference(registry, 'wrong:1'))).rejects.toMatchObject({ code });
  });
});
