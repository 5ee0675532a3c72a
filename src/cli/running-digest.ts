import type { ImageService } from '../cri/index.ts';
import { parseReference, repositoryName } from '../oci/index.ts';

/**
 * What registries call an image that runs: the digest of its manifest or index, as `lading explain` and `lading images`
 * show it. Its id, which is what the CRI calls it, where no registry is known.
 * @param imageRef the image's id
 * @param image the text in the pod
 */
export async function runningDigest(images: ImageService, imageRef: string, image: string): Promise<string> {
  const { repoDigests = [] } = (await images.imageStatus({ image: imageRef })) ?? {};
  const repository = repositoryName(parseReference(image));
  const repoDigest = repoDigests.find((known) => known.startsWith(`${repository}@`)) ?? repoDigests[0];
  return repoDigest?.slice(repoDigest.indexOf('@') + 1) ?? imageRef;
}
