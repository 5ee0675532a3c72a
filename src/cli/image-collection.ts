/** The kubelet's collection of unused images, on a node of this program. */
import { ImageCollector, type ImageCollectorOptions } from '../agent/index.ts';
import type { EngineImageService } from '../engine/index.ts';
import { systemClock } from '../lib/clock.ts';
import type { Digest } from '../oci/index.ts';

export interface CollectionOptions
  extends Pick<ImageCollectorOptions, 'policy' | 'metrics' | 'diskStats' | 'onEvent' | 'onCollected'> {
  /** Where containers run in this process; those of other processes are known by the leases of their images. */
  readonly runtime?: ImageCollectorOptions['runtime'];
  /** By default the image and its content go at once. */
  readonly remove?: (id: Digest) => void;
}

export function imageCollectorOf(
  { images }: { readonly images: EngineImageService },
  { runtime = noContainers, remove, ...options }: CollectionOptions,
): ImageCollector {
  return new ImageCollector({
    images: {
      // What has lost its last name is garbage already.
      listImages: async () =>
        (await images.listImages()).filter(({ repoTags, repoDigests }) => repoTags.length + repoDigests.length > 0),
      imageFsInfo: () => images.imageFsInfo(),
      removeImage: async (spec) => (remove ? remove(spec.image as Digest) : images.removeImage(spec)),
    },
    runtime,
    clock: systemClock,
    ...options,
  });
}

const noContainers: ImageCollectorOptions['runtime'] = {
  listContainers: async () => [],
  containerStatus: (id) => Promise.reject(new Error(`there is no container ${id}`)),
};
