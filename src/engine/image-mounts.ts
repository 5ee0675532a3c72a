/** Images as volumes of a container: mounted read-only below its directory, or copied where overlays do not work. */
import { mkdir, readdir, realpath } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { CriError, type Mount } from '../cri/index.ts';
import { mountOverlay, unmount } from '../lib/overlay.ts';
import type { Digest } from '../oci/index.ts';
import { copyRootfs, type PullDependencies, rootfsOf } from '../pull/index.ts';
import { findImage } from './image-lookup.ts';

/**
 * @param index distinguishes the mounts of one container
 * @returns the directory or file of the image that the container is to see
 * @throws CriError `NOT_FOUND` when the image or the path in it is not there
 */
export async function mountImage(
  deps: PullDependencies,
  mount: Mount & { readonly image: NonNullable<Mount['image']> },
  { containerDir, index }: { containerDir: string; index: number },
): Promise<string> {
  const { image: spec, imageSubPath = '' } = mount;
  const image = findImage(deps.store, spec.image);
  if (!image) throw new CriError('NOT_FOUND', `image ${spec.image} of a volume is not on this node`);
  const target = join(mountsPath(containerDir), String(index));
  await mkdir(target, { recursive: true });
  await provide(deps, image.id, target);
  return pathInside(target, imageSubPath, spec.userSpecifiedImage ?? spec.image);
}

/** The images that the mounts of a container need, so that they can be kept. */
export function mountedImages(deps: PullDependencies, mounts: readonly Mount[]): Digest[] {
  return mounts.flatMap(({ image }) => (image && findImage(deps.store, image.image)?.id) ?? []);
}

/** Unmounts what `mountImage` has mounted for a container. */
export async function unmountImages(containerDir: string): Promise<void> {
  const path = mountsPath(containerDir);
  for (const name of await readdir(path).catch(() => [])) unmount(join(path, name));
}

async function provide(deps: PullDependencies, imageId: Digest, target: string): Promise<void> {
  const support = await deps.store.overlay();
  if (support.mode === 'copy') return copyRootfs(deps, imageId, target);
  const { lowers } = await rootfsOf(deps, imageId);
  mountOverlay({ lowers, target, support });
}

/** Symbolic links of the image are followed, but not out of it. */
async function pathInside(root: string, subPath: string, image: string): Promise<string> {
  const realRoot = await realpath(root);
  const path = await realpath(join(root, subPath)).catch(() => undefined);
  if (path === realRoot || path?.startsWith(realRoot + sep)) return path;
  throw new CriError('NOT_FOUND', `image ${image} has no path ${JSON.stringify(subPath)} to mount`, {
    hint: 'subPath is a path in the image, without symbolic links that lead out of it.',
  });
}

function mountsPath(containerDir: string): string {
  return join(containerDir, 'image-volumes');
}
