import type { Image } from '../cri/messages.ts';
import { errorMessage } from '../lib/errors.ts';

/** The kubelet's default of `nodeStatusMaxImages`. */
const defaultMaxImages = 50;
const maxNamesPerImage = 5;

export interface NodeStatusImage {
  /** Repository digests before tags. */
  readonly names: readonly string[];
  readonly sizeBytes: number;
}

/**
 * `status.images` of a node: the largest images first. The scheduler knows of no others.
 * @param maxImages the kubelet's `nodeStatusMaxImages`; -1 for all
 * @returns no images and the kubelet's error text when the runtime cannot list them
 * @see pull-policy.md 11
 */
export async function nodeStatusImages(
  listImages: () => Promise<readonly Pick<Image, 'id' | 'size' | 'repoDigests' | 'repoTags'>[]>,
  maxImages = defaultMaxImages,
): Promise<{ images: NodeStatusImage[]; error?: string }> {
  let images: Awaited<ReturnType<typeof listImages>>;
  try {
    images = await listImages();
  } catch (error) {
    return { images: [], error: `error getting image list: ${errorMessage(error)}` };
  }
  const largestFirst = images.toSorted((a, b) => b.size - a.size || (a.id < b.id ? 1 : -1));
  const shown = maxImages < 0 ? largestFirst : largestFirst.slice(0, maxImages);
  return {
    images: shown.map(({ repoDigests, repoTags, size }) => ({
      names: [...repoDigests, ...repoTags].slice(0, maxNamesPerImage),
      sizeBytes: size,
    })),
  };
}
