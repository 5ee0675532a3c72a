import type { Descriptor } from '../oci/index.ts';
import { nameOf } from './collection.ts';

/** What a layout calls an image. @see https://github.com/opencontainers/image-spec/blob/main/annotations.md */
export const refNameAnnotation = 'org.opencontainers.image.ref.name';
/** The whole name, which containerd and Docker write beside a tag. */
export const imageNameAnnotation = 'io.containerd.image.name';

/** An image in the `index.json` of a layout. */
export interface LayoutEntry extends Pick<Descriptor, 'mediaType' | 'digest' | 'size'> {
  readonly annotations?: Readonly<Record<string, string>>;
}

/** One entry for each label: podman and skopeo read the one annotation, containerd and Docker the other. */
export function layoutEntries(image: LayoutEntry, labels: readonly string[]): LayoutEntry[] {
  if (labels.length === 0) return [image];
  return labels.map((label) => {
    const name = nameOf(label);
    const annotations = { [refNameAnnotation]: label, ...(name === undefined ? {} : { [imageNameAnnotation]: name }) };
    return { ...image, annotations };
  });
}
