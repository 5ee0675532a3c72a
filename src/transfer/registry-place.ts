import { LadingError } from '../lib/errors.ts';
import { type Descriptor, type Digest, formatReference, type Reference } from '../oci/index.ts';
import { isForeignLayer, type RegistryClient, type ResolvedManifest } from '../registry/index.ts';
import type { ImageSource, ImageTarget, OfferedBlob, Repository, TakenImage, TransferOptions } from './places.ts';

/** An image on a registry. @param reference as `pullReference` gives it */
export function registrySource(registry: RegistryClient, reference: Reference): ImageSource {
  const rejections = new Map<Digest, () => boolean>();
  let resolved: ResolvedManifest | undefined;
  return {
    place: `registry ${reference.registry}`,
    repositories: [reference],
    givesChunksAway: true,
    async resolve(options) {
      resolved = await registry.resolve(reference, { ...options, withContent: true });
      return resolved.descriptor;
    },
    async manifest(digest, options) {
      if (resolved?.content && resolved.descriptor.digest === digest) return resolved.content;
      return (await registry.fetchManifest(reference, digest, options)).bytes;
    },
    async *blob(descriptor, { start = 0, ...options }) {
      const call = { ...options, offset: start };
      const { offset, body, reject } = await registry.fetchBlob(reference, descriptor, call);
      rejections.set(descriptor.digest, reject);
      yield* offset === start ? body : without(start - offset, body);
    },
    reject({ digest }) {
      const reject = rejections.get(digest);
      rejections.delete(digest);
      return reject?.() ?? false;
    },
  };
}

/**
 * A tag, or a digest without one, on a registry. Blobs that another repository of the same registry has are linked
 * instead of sent, where that is allowed.
 */
export function registryTarget(registry: RegistryClient, reference: Reference): ImageTarget {
  return new RegistryTarget(registry, reference);
}

class RegistryTarget implements ImageTarget {
  readonly #registry: RegistryClient;
  readonly #reference: Reference;

  constructor(registry: RegistryClient, reference: Reference) {
    this.#registry = registry;
    this.#reference = reference;
  }

  async putBlob({ descriptor, open, repositories }: OfferedBlob, options: TransferOptions): Promise<boolean> {
    // Registries may not keep it: who pulls the image takes it from the URLs of its descriptor.
    if (isForeignLayer(descriptor)) return false;
    const neighbour = nearestNeighbour(this.#reference, repositories);
    const mount = neighbour ? { mountFrom: neighbour.repository } : {};
    return this.#registry.pushBlob(this.#reference, descriptor, open, { ...options, ...mount });
  }

  async putManifest({ digest, mediaType }: Descriptor, bytes: Uint8Array, options: TransferOptions): Promise<void> {
    await this.#registry.pushManifest({ ...this.#reference, digest }, bytes, mediaType, options);
  }

  async putImage({ descriptor, bytes }: TakenImage, options: TransferOptions): Promise<void> {
    const { digest } = this.#reference;
    if (digest !== undefined && digest !== descriptor.digest) {
      throw new LadingError(
        'ERR_LADING_DIGEST_MISMATCH',
        `cannot store ${descriptor.digest} as ${formatReference(this.#reference)}: that name is another digest`,
        {
          hint: 'Give the destination a tag instead of a digest.',
          data: { expected: digest, actual: descriptor.digest },
        },
      );
    }
    await this.#registry.pushManifest(this.#reference, bytes, descriptor.mediaType, options);
  }
}

/** What comes after the first bytes. */
async function* without(bytes: number, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let surplus = bytes;
  for await (const chunk of body) {
    if (chunk.byteLength > surplus) yield surplus > 0 ? chunk.subarray(surplus) : chunk;
    surplus = Math.max(0, surplus - chunk.byteLength);
  }
}

/** The repository of the same registry that has most of its path in common. @see registry.md 10.1 */
function nearestNeighbour(to: Repository, repositories: readonly Repository[]): Repository | undefined {
  const common = ({ repository }: Repository) => {
    const [own, other] = [to.repository.split('/'), repository.split('/')];
    const difference = own.findIndex((part, index) => part !== other[index]);
    return difference === -1 ? own.length : difference;
  };
  return repositories
    .filter(({ registry, repository }) => registry === to.registry && repository !== to.repository)
    .sort((a, b) => common(b) - common(a))[0];
}
