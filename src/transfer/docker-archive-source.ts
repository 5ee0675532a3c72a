import { errorMessage, LadingError } from '../lib/errors.ts';
import {
  type Descriptor,
  type Digest,
  Digester,
  digestOf,
  type ImageConfig,
  mediaTypes,
  parseImageConfig,
} from '../oci/index.ts';
import type { JsonValue } from '../oci/json-document.ts';
import { type ImageCollection, type ListedImage, nameOf } from './collection.ts';
import { type Compression, compressionOf } from './decompressed.ts';
import { incomplete, invalid } from './errors.ts';
import { type Files, readJson } from './files.ts';
import type { ImageSource } from './places.ts';
import { collect } from './verified.ts';

/** @see layers.md L6 */
const maxConfigBytes = 8 * 1024 * 1024;

const layerTypes: Readonly<Record<Compression, string>> = {
  none: mediaTypes.ociLayer,
  gzip: mediaTypes.ociLayerGzip,
  zstd: mediaTypes.ociLayerZstd,
};

/**
 * The images of an archive of `docker save`. It has no manifests: each image gets one, of the layers as they are there.
 * @throws LadingError `ERR_LADING_ARCHIVE_INVALID`, `ERR_LADING_ARCHIVE_INCOMPLETE`, `ERR_LADING_IMAGE_CONFIG_INVALID`
 * @see https://github.com/moby/docker-image-spec/blob/main/spec.md#combined-image-json--filesystem-changeset-format
 */
export async function openDockerArchive(files: Files): Promise<ImageCollection> {
  const list = await readJson(files, 'manifest.json');
  if (!list) throw invalid(files.place, 'it has neither an index.json nor a manifest.json');
  const entries = list.list((entry) => entry);
  const images: ListedImage[] = [];
  const layers = new ArchivedLayers(files);
  for (const entry of entries) images.push(await imageOf(files, entry, layers));
  return { place: files.place, images, close: () => files.close() };
}

async function imageOf(files: Files, entry: JsonValue, layers: ArchivedLayers): Promise<ListedImage> {
  const labels = entry.member('RepoTags').list((tag) => tag.text());
  const names = labels.map((label) => {
    const name = nameOf(label);
    if (name === undefined) throw invalid(files.place, `${JSON.stringify(label)} is no name of an image`);
    return name;
  });
  return { labels, names, source: await sourceOf(files, entry, layers) };
}

async function sourceOf(files: Files, entry: JsonValue, archived: ArchivedLayers): Promise<ImageSource> {
  const { place } = files;
  const configName = entry.member('Config').text();
  const configSize = await files.size(configName);
  if (configSize === undefined) throw incomplete(place, `configuration ${configName}`);
  if (configSize > maxConfigBytes) throw invalid(place, `${configName} is larger than ${maxConfigBytes} bytes`);
  const configBytes = await collect(files.read(configName));
  const { diffIds } = configIn(place, configName, configBytes).rootfs;
  const layerNames = entry.member('Layers').list((layer) => layer.text());
  if (layerNames.length !== diffIds.length) {
    throw invalid(place, `it lists ${layerNames.length} layers for ${diffIds.length} of the configuration`);
  }
  const contents = new Map<Digest, string>();
  const layers: Descriptor[] = [];
  for (const [index, name] of layerNames.entries()) {
    const layer = await archived.describe(name, diffIds[index]!);
    layers.push(layer);
    contents.set(layer.digest, name);
  }
  const config = { mediaType: mediaTypes.ociConfig, digest: digestOf(configBytes), size: configBytes.byteLength };
  contents.set(config.digest, configName);
  const mediaType = mediaTypes.ociManifest;
  const manifest = Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, config, layers }));
  return {
    place,
    repositories: [],
    resolve: async () => ({ mediaType, digest: digestOf(manifest), size: manifest.byteLength }),
    manifest: async () => manifest,
    blob: ({ digest }, { start = 0 }) => files.read(contents.get(digest)!, { start }),
  };
}

function configIn(place: string, name: string, bytes: Uint8Array): ImageConfig {
  try {
    return parseImageConfig(bytes);
  } catch (error) {
    throw new LadingError('ERR_LADING_IMAGE_CONFIG_INVALID', `${place}, ${name}: ${errorMessage(error)}`, {
      cause: error,
      hint: 'The archive is damaged, or was written by a broken tool: write it again.',
    });
  }
}

/** The layers of an archive, each looked at once, however many images have it. */
class ArchivedLayers {
  readonly #files: Files;
  readonly #known = new Map<string, { compression: Compression; digest: Digest | undefined }>();

  constructor(files: Files) {
    this.#files = files;
  }

  /** A plain layer has its diffID for a digest; whoever reads it notices if that is not true. A compressed one is hashed. */
  async describe(name: string, diffId: Digest): Promise<Descriptor> {
    const size = await this.#files.size(name);
    if (size === undefined) throw incomplete(this.#files.place, `layer ${name}`);
    const known = this.#known.get(name) ?? (await this.#look(name));
    this.#known.set(name, known);
    return { mediaType: layerTypes[known.compression], digest: known.digest ?? diffId, size };
  }

  async #look(name: string): Promise<{ compression: Compression; digest: Digest | undefined }> {
    let compression: Compression = 'none';
    let digester: Digester | undefined;
    for await (const chunk of this.#files.read(name)) {
      if (!digester) {
        compression = compressionOf(chunk);
        if (compression === 'none') break;
        digester = new Digester();
      }
      digester.update(chunk);
    }
    return { compression, digest: digester?.digest() };
  }
}
