import {
  type Descriptor,
  type Digest,
  type ImageIndex,
  type ImageManifest,
  parseManifest,
  type Reference,
} from '../oci/index.ts';
import { maxManifestBytes } from '../registry/index.ts';
import type { Store } from '../store/index.ts';
import type { PullOptions, PullSource } from './dependencies.ts';

/** @see layers.md L6 */
const maxConfigBytes = 8 * 1024 * 1024;

/** An index, a manifest or a configuration that belongs to an image. */
export interface ImageDocument {
  readonly descriptor: Descriptor;
  readonly kind: 'manifest' | 'config';
  /** Undefined if the store had it. */
  readonly bytes?: Uint8Array;
}

/**
 * The documents of one image: from the store where it has them, else from the registry. Each is asked for once, and
 * nothing is written until `store`.
 */
export class ImageDocuments {
  readonly #store: Store;
  readonly #registry: PullSource;
  readonly #reference: Reference;
  readonly #options: PullOptions;
  readonly #received = new Map<Digest, Uint8Array>();

  constructor(
    deps: { store: Store; registry: PullSource },
    reference: Reference,
    options: PullOptions & { documents?: readonly ImageDocument[] },
  ) {
    this.#store = deps.store;
    this.#registry = deps.registry;
    this.#reference = reference;
    this.#options = options;
    for (const { descriptor, bytes } of options.documents ?? []) if (bytes) this.add(descriptor.digest, bytes);
  }

  /** Content that has been received and verified already. */
  add(digest: Digest, bytes: Uint8Array): void {
    this.#received.set(digest, bytes);
  }

  /** What was received for a digest and is not in the store. */
  received(digest: Digest): Uint8Array | undefined {
    return this.#received.get(digest);
  }

  /** The same descriptor with the size that the manifest has: a registry may say another one before it is fetched. */
  async withRealSize(descriptor: Descriptor): Promise<Descriptor> {
    return { ...descriptor, size: (await this.#bytes(descriptor, 'manifest')).byteLength };
  }

  /** @throws RegistryError; LadingError `ERR_LADING_MANIFEST_INVALID`, `ERR_LADING_MANIFEST_SCHEMA1` */
  async manifest(descriptor: Descriptor): Promise<ImageManifest | ImageIndex> {
    return parseManifest(await this.#bytes(descriptor, 'manifest'), descriptor.mediaType);
  }

  /** @throws RegistryError */
  config(descriptor: Descriptor): Promise<Uint8Array> {
    return this.#bytes(descriptor, 'config');
  }

  /** Makes sure that the store has a document. */
  async store(document: ImageDocument): Promise<void> {
    const { digest } = document.descriptor;
    if (await this.#isStored(document.descriptor)) return;
    await this.#store.blobs.put(await this.#bytes(document.descriptor, document.kind), { digest });
  }

  async #bytes(descriptor: Descriptor, kind: ImageDocument['kind']): Promise<Uint8Array> {
    const { digest } = descriptor;
    const received = this.#received.get(digest);
    if (received) return received;
    const maxBytes = kind === 'manifest' ? maxManifestBytes : maxConfigBytes;
    if (await this.#isStored(descriptor)) return this.#store.blobs.read(digest, { maxBytes });
    const { signal, watch, credentials } = this.#options;
    const options = { signal, watch, credentials };
    const bytes =
      kind === 'manifest'
        ? (await this.#registry.fetchManifest(this.#reference, digest, options)).bytes
        : await this.#registry.readBlob(this.#reference, descriptor, { ...options, maxBytes });
    this.add(digest, bytes);
    return bytes;
  }

  async #isStored({ digest, size }: Descriptor): Promise<boolean> {
    return (await this.#store.blobs.size(digest)) === size;
  }
}
