import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crashPoint } from './crash-point.ts';
import { debugLog } from './debug.ts';
import { fileTypes, lsetxattr, mknod, umount2, unmountFlags } from './libc.ts';
import { mountOverlay, type OverlaySupport } from './overlay-mount.ts';

export { maxLowerDirectories, mountOverlay, type OverlayMount, type OverlaySupport, unmount } from './overlay-mount.ts';

const log = debugLog('overlay');

/**
 * Finds out by doing how layers in `dir` can be stacked: two lower directories with a whiteout and an opaque directory,
 * an upper one, mounted, listed, changed, unmounted. File system names and kernel versions promise too little.
 * @param dir an existing directory on the file system of the store, writable
 * @throws Error only if the scratch folder itself cannot be made
 */
export async function probeOverlay(dir: string): Promise<OverlaySupport> {
  const reasons: string[] = [];
  for (const userxattr of [false, true]) {
    const scratch = mkdtempSync(join(dir, '.overlay-probe-'));
    try {
      const failure = tryOverlay(scratch, userxattr);
      log('userxattr=%s in %s: %s', userxattr, dir, failure ?? 'works');
      if (failure === undefined) return { mode: 'overlay', userxattr };
      reasons.push(failure);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }
  return { mode: 'copy', reason: `overlayfs does not work in ${dir}: ${[...new Set(reasons)].join('; ')}` };
}

/** What failed, or undefined. */
function tryOverlay(scratch: string, userxattr: boolean): string | undefined {
  const path = (name: string) => join(scratch, name);
  try {
    for (const folder of ['low/kept', 'low/hidden', 'high/kept', 'high/hidden', 'upper', 'work', 'merged']) {
      mkdirSync(path(folder), { recursive: true });
    }
    for (const file of [
      'low/gone',
      'low/plain',
      'low/kept/old',
      'low/hidden/old',
      'high/kept/new',
      'high/hidden/new',
    ]) {
      writeFileSync(path(file), '');
    }
    mknod(path('high/gone'), fileTypes.character, 0n);
    lsetxattr(path('high/hidden'), `${userxattr ? 'user' : 'trusted'}.overlay.opaque`, Buffer.from('y'));
  } catch (error) {
    return (error as Error).message;
  }
  try {
    mountOverlay({
      lowers: [path('high'), path('low')],
      upper: path('upper'),
      work: path('work'),
      target: path('merged'),
      support: { mode: 'overlay', userxattr },
    });
  } catch (error) {
    return (error as Error & { cause?: Error }).cause?.message ?? (error as Error).message;
  }
  try {
    crashPoint('overlay-probed');
    return wrongWithMerged(path('merged'));
  } catch (error) {
    return (error as Error).message;
  } finally {
    umount2(path('merged'), unmountFlags.detach);
    rmSync(path('work'), { recursive: true, force: true });
  }
}

function wrongWithMerged(merged: string): string | undefined {
  const list = (name: string) => readdirSync(join(merged, name)).sort().join(' ');
  if (list('.') !== 'hidden kept plain') return 'a whiteout does not hide its file';
  if (list('kept') !== 'new old') return 'directories are not merged';
  if (list('hidden') !== 'new') return 'an opaque directory shows what is below';
  unlinkSync(join(merged, 'plain'));
  if (existsSync(join(merged, 'plain'))) return 'a removed file stays';
  return undefined;
}
