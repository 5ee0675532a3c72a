import { LadingError } from '../lib/errors.ts';
import {
  type Descriptor,
  type Digest,
  Digester,
  digestHex,
  isImageConfigType,
  parseImageConfig,
  parseManifest,
} from '../oci/index.ts';
import { type ArchiveOutput, ArchiveWriter } from './archive-output.ts';
import { decompressed } from './decompressed.ts';
import { DockerArchiveList } from './docker-archive-list.ts';
import { collectConfig } from './image-config.ts';
import type { FileTarget, OfferedBlob, TakenImage, TransferOptions } from './places.ts';
import { Spool } from './spool.ts';

/**
 * An archive as `docker save` wrote them for years: images of one platform each, layers uncompressed. Manifests are
 * left out: their digests do not survive this format.
 */
export class DockerArchiveTarget implements FileTarget {
  readonly #writer: ArchiveWriter;
  readonly #spoolFolder: string;
  readonly #configs = new Map<Digest, Uint8Array>();
  /** DiffIDs of layers that are written, by the digest that they had. */
  readonly #diffIds = new Map<Digest, Digest>();
  readonly #written = new Set<Digest>();
  readonly #list = new DockerArchiveList();

  /** @param spoolFolder where an uncompressed layer waits: a tar archive needs its size before its content */
  constructor(output: ArchiveOutput, spoolFolder: string) {
    this.#writer = new ArchiveWriter(output);
    this.#spoolFolder = spoolFolder;
  }

  async putBlob({ descriptor, open }: OfferedBlob, { signal }: TransferOptions): Promise<boolean> {
    const { digest, mediaType } = descriptor;
    if (this.#configs.has(digest) || this.#diffIds.has(digest)) return false;
    if (isImageConfigType(mediaType)) {
      const bytes = await collectConfig(descriptor, open);
      this.#configs.set(digest, bytes);
      await this.#writer.file(configName(digest), bytes.byteLength, () => [bytes]);
      return true;
    }
    const spool = await Spool.open(this.#spoolFolder);
    try {
      const digester = new Digester();
      for await (const chunk of decompressed(open())) {
        signal?.throwIfAborted();
        digester.update(chunk);
        await spool.append(chunk);
      }
      const diffId = digester.digest();
      this.#diffIds.set(digest, diffId);
      if (this.#written.has(diffId)) return true;
      this.#written.add(diffId);
      await this.#writer.file(layerName(diffId), spool.size, () => spool.read(0, spool.size));
      return true;
    } finally {
      await spool.close();
    }
  }

  /** @throws LadingError `ERR_LADING_ARCHIVE_ONE_PLATFORM` */
  async putManifest(descriptor: Descriptor): Promise<void> {
    throw onePlatform(descriptor.digest);
  }

  /**
   * @throws LadingError `ERR_LADING_ARCHIVE_ONE_PLATFORM`, `ERR_LADING_NOT_AN_IMAGE`, `ERR_LADING_DIGEST_MISMATCH` if
   * the layers are not those of the configuration
   */
  async putImage({ descriptor, bytes, labels }: TakenImage): Promise<void> {
    const manifest = parseManifest(bytes, descriptor.mediaType);
    if (manifest.kind === 'index') throw onePlatform(descriptor.digest);
    const config = this.#configs.get(manifest.config.digest);
    if (!config) {
      throw new LadingError(
        'ERR_LADING_NOT_AN_IMAGE',
        `${descriptor.digest} is not a container image: its configuration has the media type ${manifest.config.mediaType}`,
        { hint: 'A docker archive holds images only; an OCI layout takes any artifact.' },
      );
    }
    const diffIds = manifest.layers.map(({ digest }) => this.#diffIds.get(digest)!);
    const expected = parseImageConfig(config).rootfs.diffIds;
    if (diffIds.join() !== expected.join()) {
      throw new LadingError(
        'ERR_LADING_DIGEST_MISMATCH',
        `the layers of ${descriptor.digest} are not those that its configuration names`,
        { hint: 'The image is broken; ask whoever built it.', data: { expected, actual: diffIds } },
      );
    }
    this.#list.add(configName(manifest.config.digest), diffIds.map(layerName), labels);
  }

  async commit(): Promise<void> {
    await this.#writer.json('manifest.json', this.#list.images);
    await this.#writer.commit();
  }

  close(): Promise<void> {
    return this.#writer.close();
  }
}

function configName(digest: Digest): string {
  return `${digestHex(digest)}.json`;
}

function layerName(diffId: Digest): string {
  return `${digestHex(diffId)}.tar`;
}

function onePlatform(digest: string): LadingError {
  return new LadingError(
    'ERR_LADING_ARCHIVE_ONE_PLATFORM',
    `${digest} is an index, and a docker archive holds images of one platform each`,
    { hint: 'Choose a platform, or write an OCI layout or archive.' },
  );
}
