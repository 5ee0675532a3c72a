import { type Descriptor, type Digest, mediaTypes } from '../oci/index.ts';
import { type ArchiveOutput, ArchiveWriter, type Content } from './archive-output.ts';
import { type LayoutEntry, layoutEntries } from './layout-entries.ts';
import { blobPath } from './layout-source.ts';
import type { FileTarget, OfferedBlob, TakenImage } from './places.ts';

/** An OCI layout as a tar archive, with any number of images. */
export class LayoutArchiveTarget implements FileTarget {
  readonly #writer: ArchiveWriter;
  readonly #written = new Set<Digest>();
  readonly #entries: LayoutEntry[] = [];

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
  }

  async commit(): Promise<void> {
    await this.#writer.json('oci-layout', { imageLayoutVersion: '1.0.0' });
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
