import { type Descriptor, type Digest, digestAlgorithm, digestHex, isIndexType, isManifestType } from '../oci/index.ts';
import type { JsonValue } from '../oci/json-document.ts';
import { maxManifestBytes } from '../registry/index.ts';
import { type ImageCollection, type ListedImage, nameOf } from './collection.ts';
import { incomplete, invalid } from './errors.ts';
import { type Files, readJson } from './files.ts';
import { imageNameAnnotation, refNameAnnotation } from './layout-entries.ts';
import type { ImageSource } from './places.ts';
import { collect, verifiedBytes } from './verified.ts';

/**
 * The images of an OCI layout.
 * @throws LadingError `ERR_LADING_ARCHIVE_INVALID`
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
export async function openLayout(files: Files): Promise<ImageCollection> {
  const layout = await readJson(files, 'oci-layout');
  const index = await readJson(files, 'index.json');
  if (!layout || !index) throw invalid(files.place, `it has no ${layout ? 'index.json' : 'oci-layout'}`);
  const version = layout.member('imageLayoutVersion').text();
  if (!version.startsWith('1.')) throw invalid(files.place, `it has the layout version ${version}`);
  const entries = index.member('manifests').list((entry) => entryOf(entry));
  const byDigest = Map.groupBy(
    entries.filter(({ descriptor: { mediaType } }) => isManifestType(mediaType) || isIndexType(mediaType)),
    ({ descriptor }) => descriptor.digest,
  );
  const images = [...byDigest.values()].map((same) => listedImage(files, same));
  return { place: files.place, images, close: () => files.close() };
}

/** Where a layout has the content of a digest. */
export function blobPath(digest: Digest): string {
  return `blobs/${digestAlgorithm(digest)}/${digestHex(digest)}`;
}

interface Entry {
  readonly descriptor: Descriptor;
  readonly labels: readonly string[];
  readonly names: readonly string[];
}

function entryOf(entry: JsonValue): Entry {
  const annotations = entry.has('annotations') ? entry.member('annotations').map((value) => value.text()) : {};
  const labels = [annotations[imageNameAnnotation], annotations[refNameAnnotation]].filter(
    (label) => label !== undefined,
  );
  const names = labels.map(nameOf).filter((name) => name !== undefined);
  return {
    descriptor: {
      mediaType: entry.member('mediaType').text(),
      digest: entry.member('digest').digest(),
      size: entry.member('size').count(),
    },
    labels,
    // The first is the whole name; what stands beside it may be its tag only.
    names: names.slice(0, 1),
  };
}

function listedImage(files: Files, same: readonly Entry[]): ListedImage {
  return {
    labels: [...new Set(same.flatMap(({ labels }) => labels))],
    names: [...new Set(same.flatMap(({ names }) => names))],
    source: layoutSource(files, same[0]!.descriptor),
  };
}

function layoutSource(files: Files, image: Descriptor): ImageSource {
  const { place } = files;
  const requireFile = async (descriptor: Descriptor, kind: string) => {
    const size = await files.size(blobPath(descriptor.digest));
    if (size === undefined) throw incomplete(place, `${kind} ${descriptor.digest}`);
    if (size === descriptor.size) return;
    throw invalid(place, `${kind} ${descriptor.digest} has ${size} bytes, its descriptor says ${descriptor.size}`);
  };
  return {
    place,
    repositories: [],
    async resolve() {
      await requireFile(image, 'manifest');
      return image;
    },
    async manifest(digest) {
      const size = await files.size(blobPath(digest));
      if (size === undefined) throw incomplete(place, `manifest ${digest}`);
      if (size > maxManifestBytes) throw invalid(place, `manifest ${digest} is larger than ${maxManifestBytes} bytes`);
      return verifiedBytes(await collect(files.read(blobPath(digest))), digest, place);
    },
    async *blob(descriptor, { start = 0 }) {
      await requireFile(descriptor, 'blob');
      yield* files.read(blobPath(descriptor.digest), { start });
    },
  };
}
