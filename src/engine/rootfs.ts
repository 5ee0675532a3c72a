/** A container's root file system: an overlay over the image's unpacked layers, or a copy where overlays do not work. */
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mountOverlay, unmount } from '../lib/overlay.ts';
import type { Digest } from '../oci/index.ts';
import { copyRootfs, type PullDependencies, rootfsOf } from '../pull/index.ts';
import { unmountImages } from './image-mounts.ts';

/** @returns the directory that holds the root file system, below `containerDir` */
export async function mountRootfs(deps: PullDependencies, imageId: Digest, containerDir: string): Promise<string> {
  const rootfs = rootfsPath(containerDir);
  await mkdir(rootfs, { recursive: true });
  const support = await deps.store.overlay();
  if (support.mode === 'copy') {
    await copyRootfs(deps, imageId, rootfs);
    return rootfs;
  }
  const { lowers } = await rootfsOf(deps, imageId);
  const upper = join(containerDir, 'upper');
  const work = join(containerDir, 'work');
  await mkdir(upper, { recursive: true });
  await mkdir(work, { recursive: true });
  mountOverlay({ lowers, upper, work, target: rootfs, support });
  return rootfs;
}

/** Unmounts what `mountRootfs` and `mountImage` made, if it is there, and removes everything below `containerDir`. */
export async function removeRootfs(containerDir: string): Promise<void> {
  await unmountImages(containerDir);
  unmount(rootfsPath(containerDir));
  await rm(containerDir, { recursive: true, force: true });
}

function rootfsPath(containerDir: string): string {
  return join(containerDir, 'rootfs');
}
