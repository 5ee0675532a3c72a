import { chmodSync, lchownSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { mkdir, readdir, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { llistxattr, lsetxattr } from '../../src/lib/libc.ts';
import { mountOverlay, unmount } from '../../src/lib/overlay.ts';
import { chainIds, digestOf } from '../../src/oci/index.ts';
import { copyRootfs, layerDeviations, repairHooks, rootfsOf } from '../../src/pull/index.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { rootMissing } from '../support/root.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { pull, reference, testNode } from './support/node.ts';
import { pushImage, tarOf, testImage } from './support/test-image.ts';

const missing = dockerRegistryMissing ?? rootMissing;

// The second layer only implies tmp/, which has its own mode below: that takes a fix-up layer.
const image = testImage({
  layers: [
    tarOf({ 'etc/': '', 'etc/old': 'old', 'etc/kept': 'kept', 'tmp/': '' }),
    tarOf({ 'etc/.wh.old': '', 'tmp/new': 'new' }),
  ],
});
const opaque = testImage({ layers: [tarOf({ 'd/': '', 'd/.wh..wh..opq': '', 'd/f': 'new' })] });
const needsFixUp = testImage({ layers: [tarOf({ 'tmp/': '' }, { mode: 0o1777 }), tarOf({ 'tmp/new': 'new' })] });

describe.skipIf(missing)(`a root file system (needs: ${missing ?? 'nothing more'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
    await pushImage(registry, 'app', '1', image);
    await pushImage(registry, 'fix-up', '1', needsFixUp);
    await pushImage(registry, 'opaque', '1', opaque);
    await pushImage(registry, 'empty', '1', testImage({ layers: [] }));
  });
  afterAll(() => registry.close());

  test.skipIf(process.getuid?.() !== 0)('is stacked from the layers (needs root to mount)', async (context) => {
    const deps = await testNode();
    const support = await deps.store.overlay();
    if (support.mode === 'copy') context.skip(support.reason);
    const { imageId } = await pull(deps, reference(registry, 'app:1'));
    const { lowers } = await rootfsOf(deps, imageId);
    const target = await temporaryFolder();
    mountOverlay({ lowers, target, support });
    onTestFinished(() => unmount(target));
    expect(await readdir(path.join(target, 'etc'))).toEqual(['kept']);
    expect(await readFile(path.join(target, 'tmp/new'), 'utf8')).toBe('new');
    unmount(target);
  });

  test.skipIf(process.getuid?.() !== 0)(
    'shows no marks of overlayfs where one layer is all (needs root to mount)',
    async (context) => {
      const deps = await testNode();
      const support = await deps.store.overlay();
      if (support.mode === 'copy') context.skip(support.reason);
      const { imageId } = await pull(deps, reference(registry, 'opaque:1'));
      const { lowers } = await rootfsOf(deps, imageId);
      const target = await temporaryFolder();
      mountOverlay({ lowers, target, support });
      onTestFinished(() => unmount(target));
      expect(await readFile(path.join(target, 'd/f'), 'utf8')).toBe('new');
      const names = llistxattr(path.join(target, 'd')).map(String);
      expect(names.filter((name) => name.includes('overlay'))).toEqual([]);
      unmount(target);
    },
  );

  test('has the fix-up layer of its chain on top, built once and with the pull', async () => {
    const deps = await testNode();
    const { imageId } = await pull(deps, reference(registry, 'fix-up:1'));
    const chainId = chainIds(needsFixUp.diffIds).at(-1)!;
    expect(deps.store.fixUps.state(chainId)).toBe('needed');
    const { lowers } = await rootfsOf(deps, imageId);
    expect(lowers).toEqual([
      deps.store.fixUps.dir(chainId),
      deps.store.layers.dir(needsFixUp.diffIds[1]!),
      deps.store.layers.dir(needsFixUp.diffIds[0]!),
    ]);
    await rm(deps.store.fixUps.folder(chainId), { recursive: true });
    expect((await rootfsOf(deps, imageId)).lowers).toEqual(lowers);
    expect(await readdir(lowers[0]!)).toEqual(['tmp']);
  });

  test.skipIf(process.getuid?.() !== 0).each<[string, (tmp: string, fs: string) => void, string]>([
    ['mode', (tmp) => chmodSync(tmp, 0o755), 'tmp: mode 0755, want 1777'],
    ['owner', (tmp) => lchownSync(tmp, 7, 8), 'tmp: owner 7:8, want 0:0'],
    ['time', (tmp) => utimesSync(tmp, 5, 5), 'tmp: time 5000000000, want '],
    ['attribute', (tmp) => lsetxattr(tmp, 'user.a', Buffer.from('1')), 'tmp: xattr "user.a" 83dcefb7, want none'],
    ['mode of the root', (_, fs) => chmodSync(fs, 0o700), '.: mode 0700, want 0755'],
    ['file', (_, fs) => writeFileSync(path.join(fs, 'tmp/x'), ''), 'tmp: time '],
  ])('with another %s in its fix-up layer is found by check, and repaired', async (_, damage, expected) => {
    const deps = await testNode();
    const { imageId } = await pull(deps, reference(registry, 'fix-up:1'));
    const chainId = chainIds(needsFixUp.diffIds).at(-1)!;
    const fs = deps.store.fixUps.dir(chainId);
    const options = { verifyLayer: layerDeviations };
    expect((await deps.store.check(options)).findings).toEqual([]);
    damage(path.join(fs, 'tmp'), fs);
    const problem = expect.stringContaining(`has another fix-up layer than was made: ${expected}`);
    expect((await deps.store.check({ ...options, depth: 'quick' })).findings).toEqual([]);
    expect((await deps.store.check(options)).findings).toMatchObject([{ subject: chainId, problem, state: 'found' }]);

    const repair = repairHooks(deps);
    expect((await deps.store.check({ ...options, repair })).findings).toMatchObject([{ state: 'repaired' }]);
    await rootfsOf(deps, imageId);
    expect(deps.store.fixUps.state(chainId)).toBe('needed');
    expect((await deps.store.check(options)).findings).toEqual([]);
    expect(statSync(path.join(fs, 'tmp'))).toMatchObject({ mode: 0o41777, uid: 0, gid: 0 });
  });

  test('with the fix-up layer of an earlier version, which has no record, is taken as it is', async () => {
    const deps = await testNode();
    await pull(deps, reference(registry, 'fix-up:1'));
    await rm(deps.store.fixUps.entriesFile(chainIds(needsFixUp.diffIds).at(-1)!));
    expect((await deps.store.check({ verifyLayer: layerDeviations })).findings).toEqual([]);
  });

  test('can be copied instead', async () => {
    const deps = await testNode();
    const { imageId } = await pull(deps, reference(registry, 'app:1'));
    const target = path.join(await temporaryFolder(), 'rootfs');
    await mkdir(target);
    await copyRootfs(deps, imageId, target);
    expect(await readdir(path.join(target, 'etc'))).toEqual(['kept']);
    expect(await readFile(path.join(target, 'tmp/new'), 'utf8')).toBe('new');
  });

  test('of an image without layers is an empty directory', async () => {
    const deps = await testNode();
    const { imageId } = await pull(deps, reference(registry, 'empty:1'));
    const { lowers } = await rootfsOf(deps, imageId);
    expect(await Promise.all(lowers.map((lower) => readdir(lower)))).toEqual([[]]);
  });

  test('is refused for an image that is not here, or not complete', async () => {
    const deps = await testNode();
    await expect(rootfsOf(deps, digestOf('none'))).rejects.toMatchObject({ code: 'ERR_LADING_IMAGE_MISSING' });
    const { imageId } = await pull(deps, reference(registry, 'app:1'));
    await rm(deps.store.layers.folder(image.diffIds[0]!), { recursive: true });
    await expect(rootfsOf(deps, imageId)).rejects.toMatchObject({ code: 'ERR_LADING_IMAGE_INCOMPLETE' });
    const again = await pull(deps, reference(registry, 'app:1'));
    expect(again).toMatchObject({ layersFetched: 0, bytesFetched: 0 });
    expect((await rootfsOf(deps, imageId)).lowers.length).toBeGreaterThan(0);
  });
});
