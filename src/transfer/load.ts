import { LadingError } from '../lib/errors.ts';
import { type Digest, type Platform, parseManifest, parseReference } from '../oci/index.ts';
import type { PullDependencies, PullProgress, PullSource } from '../pull/index.ts';
import type { ImageSource, TransferOptions } from './places.ts';
import { collect, verifiedBytes } from './verified.ts';

export interface LoadOptions extends TransferOptions {
  /** What the image has to run on; this machine unless given. */
  readonly platform?: Platform | undefined;
  readonly onProgress?: ((progress: PullProgress) => void) | undefined;
}

export interface LoadResult {
  readonly name: string;
  readonly imageId: Digest;
  /** What the name means now: of an index or a manifest. */
  readonly digest: Digest;
  /** One sentence each. */
  readonly warnings: readonly string[];
}

/**
 * Brings an image to a node under a name: a pull whose registry is another place. What a failed one leaves is nothing
 * that any name reaches, and the next collection takes it.
 * @param name normalised
 * @throws LadingError `ERR_LADING_DIGEST_MISMATCH` for a name with another digest; what `planPull` and `executePull` throw
 */
export async function loadImage(
  node: Pick<PullDependencies, 'store' | 'unpack'>,
  source: ImageSource,
  name: string,
  { platform, signal, onProgress }: LoadOptions = {},
): Promise<LoadResult> {
  // A copy loads no image, and would load a third more of modules for this.
  const { executePull, planPull } = await import('../pull/index.ts');
  const deps = { ...node, registry: pullSource(source, name) };
  const plan = await planPull(deps, parseReference(name), { platform, signal });
  try {
    const { imageId, target } = await executePull(deps, plan, { signal, onProgress, by: 'lading load' });
    return { name, imageId, digest: target.digest, warnings: plan.warnings };
  } catch (error) {
    node.store.images.release([...plan.documents, ...plan.layers].map(({ descriptor }) => descriptor.digest));
    throw isWrongContent(error)
      ? new LadingError(error.code, `${source.place}: ${error.message}`, { cause: error, hint })
      : error;
  }
}

const hint = 'The content is damaged, or was changed; nothing of it was kept.';

function isWrongContent(error: unknown): error is LadingError {
  return (
    error instanceof LadingError &&
    (error.code === 'ERR_LADING_DIGEST_MISMATCH' || error.code === 'ERR_LADING_SIZE_MISMATCH')
  );
}

/** One image in some place, asked as a pull asks a registry. */
function pullSource(source: ImageSource, name: string): PullSource {
  return {
    async resolve(reference, { signal } = {}) {
      const descriptor = await source.resolve({ signal });
      if (reference.digest !== undefined && reference.digest !== descriptor.digest) {
        throw new LadingError(
          'ERR_LADING_DIGEST_MISMATCH',
          `${source.place}: what is called ${name} there is ${descriptor.digest}`,
          { hint: 'The name and the content contradict each other; nothing of it was kept.' },
        );
      }
      return { descriptor, responseMs: 0, host: source.place };
    },
    async fetchManifest(_, digest, { signal } = {}) {
      const bytes = await source.manifest(digest, { signal });
      return { bytes, mediaType: parseManifest(bytes).mediaType };
    },
    async fetchBlob(_, descriptor, { signal, offset = 0 } = {}) {
      // There is no other place to ask.
      const reject = () => false;
      return { offset, body: source.blob(descriptor, { signal, start: offset }), reject };
    },
    async readBlob(_, descriptor, { signal, maxBytes }) {
      if (descriptor.size > maxBytes) {
        throw new LadingError(
          'ERR_LADING_BLOB_TOO_LARGE',
          `${source.place}: blob ${descriptor.digest} has ${descriptor.size} bytes, at most ${maxBytes} are read`,
        );
      }
      return verifiedBytes(await collect(source.blob(descriptor, { signal })), descriptor.digest, source.place);
    },
  };
}
