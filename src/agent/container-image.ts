import type { ContainerStatus } from '../cri/messages.ts';

/** What the Kubernetes API says about the image of a container that exists. @see pull-policy.md 11 */
export function statusImage({ image, imageRef }: Pick<ContainerStatus, 'image' | 'imageRef'>): {
  image: string;
  imageID: string;
} {
  return { image: image.image, imageID: imageRef };
}

/** The id by which image collection knows that a container uses an image. */
export function gcImageId({ imageId, imageRef }: { readonly imageId: string; readonly imageRef: string }): string {
  return imageId || imageRef;
}
