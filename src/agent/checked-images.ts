import { CriError } from '../cri/error.ts';
import type { ImageService } from '../cri/services.ts';
import { goQuote } from '../policy/index.ts';

/** An image service as the kubelet's client of the CRI sees it: answers that cannot be right are errors. @see pull-policy.md 4 and 5 */
export function checkedImages(images: ImageService): ImageService {
  return {
    listImages: (...request) => images.listImages(...request),
    removeImage: (...request) => images.removeImage(...request),
    imageFsInfo: (...request) => images.imageFsInfo(...request),
    async imageStatus(spec, options) {
      const image = await images.imageStatus(spec, options);
      if (!image || (image.id !== '' && image.size > 0)) return image;
      throw new CriError('UNKNOWN', `Id or size of image ${goQuote(spec.image)} is not set`);
    },
    async pullImage(request, options) {
      const pulled = await images.pullImage(request, options);
      if (pulled.imageRef !== '') return pulled;
      throw new CriError('UNKNOWN', `imageRef of image ${goQuote(request.image.image)} is not set`);
    },
  };
}
