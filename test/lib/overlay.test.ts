import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { mountOverlay, type OverlaySupport, probeOverlay, unmount } from '../../src/lib/overlay.ts';
import { mountByConfig, mountByOptions, mountStack } from '../../src/lib/overlay-mount.ts';

const here = process.platform === 'linux' ? await probeHere() : undefined;
const works = here?.mode === 'overlay';

async function probeHere(): Promise<OverlaySupport> {
  const dir = mkdtempSync(join(tmpdir(), 'lading-probe-'));
  try {
    return await probeOverlay(dir);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

describe.skipIf(!works)('overlay', () => {
  const support = here!;
  const userxattr = here?.mode === 'overlay' && here.userxattr;
  let dir: string;
  let target: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'lading-overlay-'));
    target = join(dir, 'target');
    mkdirSync(target);
  });
  afterEach(() => {
    unmount(target);
    rmSync(dir, { recursive: true, force: true });
  });

  /** `count` layers, topmost first, each with one file of its own. */
  function layers(count: number, name: (index: number) => string): string[] {
    return Array.from({ length: count }, (_, index) => {
      const layer = join(dir, name(index));
      mkdirSync(layer, { recursive: true });
      writeFileSync(join(layer, `f${index}`), '');
      return layer;
    });
  }
  const hexName = (index: number) => index.toString(16).padStart(64, '0');

  test('one layer without an upper is bound read-only', () => {
    const lowers = layers(1, hexName);
    mountOverlay({ lowers, target, support });
    expect(readdirSync(target)).toEqual(['f0']);
    expect(() => writeFileSync(join(target, 'x'), '')).toThrow(expect.objectContaining({ code: 'EROFS' }));
    unmount(target);
    writeFileSync(join(lowers[0]!, 'still-writable'), '');
  });

  test('an upper directory takes the changes', () => {
    const [lower] = layers(1, hexName);
    const [upper, work] = [join(dir, 'upper'), join(dir, 'work')];
    for (const folder of [upper, work]) mkdirSync(folder);
    mountOverlay({ lowers: [lower!], upper, work, target, support });
    writeFileSync(join(target, 'new'), '');
    rmSync(join(target, 'f0'));
    unmount(target);
    expect(existsSync(join(lower!, 'f0'))).toBe(true);
    expect(readdirSync(upper).sort()).toEqual(['f0', 'new']);
  });

  test('500 layers with long names, and not one more', () => {
    const lowers = layers(501, hexName);
    mountOverlay({ lowers: lowers.slice(0, 500), target, support });
    expect(readdirSync(target).length).toBe(500);
    unmount(target);
    expect(() => mountOverlay({ lowers, target, support })).toThrow(
      expect.objectContaining({ code: 'ERR_LADING_OVERLAY_MOUNT' }),
    );
  });

  const odd = (index: number) => `l${index}: with, all\\of it/${'deep/'.repeat(60)}x`;
  test.each([
    ['short names, one option string', 3, (index: number) => `l${index}`, mountByOptions],
    ['odd and long paths, one option string', 3, odd, mountByOptions],
    ['odd and long paths, one call per layer', 3, odd, mountByConfig],
    ['more than an option string holds', 120, hexName, mountByOptions],
    ['the way that works here', 3, odd, mountStack],
  ])('%s', (_, count, name, mountBy) => {
    const lowers = layers(count, name);
    const [upper, work] = [join(dir, 'up:per'), join(dir, 'wo,rk')];
    for (const folder of [upper, work]) mkdirSync(folder);
    mountBy({ lowers, upper, work, target, userxattr });
    expect(readdirSync(target).length).toBe(count);
  });

  test('a failed mount says why and leaves nothing', () => {
    const lowers = [join(dir, 'no-such-layer'), ...layers(1, hexName)];
    expect(() => mountOverlay({ lowers, target, support })).toThrow(
      expect.objectContaining({ code: 'ERR_LADING_OVERLAY_MOUNT', message: expect.stringContaining('no such file') }),
    );
    expect(readdirSync(target)).toEqual([]);
  });

  test('unmounting what is not mounted is no error', () => {
    unmount(target);
    unmount(join(dir, 'nothing'));
  });
});

test('a host that must copy refuses to mount, with the reason', () => {
  const support: OverlaySupport = { mode: 'copy', reason: 'overlayfs is forbidden here' };
  expect(() => mountOverlay({ lowers: ['/a'], target: '/b', support })).toThrow(/overlayfs is forbidden here/);
});

test.skipIf(process.platform !== 'linux')('the probe leaves nothing behind', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'lading-probe-'));
  try {
    await probeOverlay(dir);
    expect(readdirSync(dir)).toEqual([]);
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
});

const canUnshare = spawnSync('unshare', ['--user', '--map-root-user', 'true']).status === 0;
test.skipIf(!canUnshare)(
  'unmounting what is not mounted is no error for who may mount nothing (needs user namespaces)',
  () => {
    const module = fileURLToPath(new URL('../../src/lib/overlay.ts', import.meta.url));
    const program = `import { unmount } from '${module}'; unmount('${tmpdir()}');`;
    const args = ['--user', '--map-root-user', process.execPath, '--input-type=module', '-e', program];
    const { status, stderr } = spawnSync('unshare', args, { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
  },
);
