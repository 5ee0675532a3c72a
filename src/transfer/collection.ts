import { LadingError } from '../lib/errors.ts';
import { formatReference, parseReference, pullReference } from '../oci/index.ts';
import type { ImageSource } from './places.ts';

/** An image among those of a layout or an archive. */
export interface ListedImage {
  /** As they are written there. */
  readonly labels: readonly string[];
  /** Those of the labels that name a repository, normalised. */
  readonly names: readonly string[];
  readonly source: ImageSource;
}

/** The images of one layout or archive. Close it when they are not read any more. */
export interface ImageCollection {
  readonly place: string;
  readonly images: readonly ListedImage[];
  close(): Promise<void>;
}

/**
 * The image with a label or name, or the only one.
 * @throws LadingError `ERR_LADING_ARCHIVE_IMAGE_UNKNOWN`
 */
export function imageIn({ place, images }: ImageCollection, label?: string): ListedImage {
  const name = label === undefined ? undefined : nameOf(label);
  const found = images.filter(
    ({ labels, names }) =>
      label === undefined || labels.includes(label) || (name !== undefined && names.includes(name)),
  );
  const [image] = found;
  if (image && found.length === 1) return image;
  const labels = images.flatMap((each) => (each.labels.length > 0 ? each.labels : ['one without a name']));
  const problem =
    label === undefined ? `holds ${images.length} images` : `has no single image ${JSON.stringify(label)}`;
  throw new LadingError('ERR_LADING_ARCHIVE_IMAGE_UNKNOWN', `${place} ${problem}`, {
    hint: labels.length > 0 ? `It has: ${labels.join(', ')}.` : 'It has none at all.',
    data: { labels },
  });
}

/** The normalised name, if the text is one. A lone word is a tag: it does not say of which repository. */
export function nameOf(label: string): string | undefined {
  if (!/[/:@]/.test(label)) return undefined;
  try {
    return formatReference(pullReference(parseReference(label)));
  } catch {
    return undefined;
  }
}
