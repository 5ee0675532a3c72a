import { type Descriptor, type Digest, isImageConfigType, mediaTypes, parseManifest } from '../oci/index.ts';
import { type ArchiveOutput, ArchiveWriter, type Content } from './archive-output.ts';
import { DockerArchiveList } from './docker-archive-list.ts';
import { type LayoutEntry, layoutEntries } from './layout-entries.ts';
import { blobPath } from './layout-source.ts';
import type { FileTarget, OfferedBlob, TakenImage } from './places.ts';

/**
 * An OCI layout as a tar archive, with any number of images. Images of one platform are listed in `manifest.json` too,
 * as Docker does: `docker load` reads no other list, and `podman load` takes several images from this one only.
 */
export class LayoutArchiveTarget implements FileTarget {
  readonly #writer: ArchiveWriter;
  readonly #written = new Set<Digest>();
  readonly #entries: LayoutEntry[] = [];
  readonly #dockerList = new DockerArchiveList();

  constructor(output: ArchiveOutput) {
    this.#writer = new ArchiveWriter(output);
  }

  async putBlob({ descriptor, open, free }: OfferedBlob): Promise<boolean> {
    return this.#once(descriptor, open, free);
  }

  async putManifest(descriptor: Descriptor, bytes: Uint8Array): Promise<void> {
    await this.#once(descriptor, () => [bytes]);
  }

  async putImage({ descriptor, bytes, labels }: TakenImage): Promise<void> {
    await this.putManifest(descriptor, bytes);
    const { mediaType, digest, size } = descriptor;
    this.#entries.push(...layoutEntries({ mediaType, digest, size }, labels));
    const manifest = parseManifest(bytes, mediaType);
    if (manifest.kind === 'index' || !isImageConfigType(manifest.config.mediaType)) return;
    const layers = manifest.layers.map((layer) => blobPath(layer.digest));
    this.#dockerList.add(blobPath(manifest.config.digest), layers, labels);
  }

  async commit(): Promise<void> {
    await this.#writer.json('oci-layout', { imageLayoutVersion: '1.0.0' });
    const { images } = this.#dockerList;
    if (images.length > 0) await this.#writer.json('manifest.json', images);
    const manifests = this.#entries;
    await this.#writer.json('index.json', { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests });
    await this.#writer.commit();
  }

  close(): Promise<void> {
    return this.#writer.close();
  }

  async #once(descriptor: Descriptor, content: Content, free?: OfferedBlob['free']): Promise<boolean> {
    if (this.#written.has(descriptor.digest)) return false;
    await this.#writer.file(blobPath(descriptor.digest), descriptor.size, content, free);
    this.#written.add(descriptor.digest);
    return true;
  }
}
