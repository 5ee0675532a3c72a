import { errorCode } from '../lib/errors.ts';
import { freeMemory } from '../lib/free-memory.ts';
import { GrowingFile } from '../lib/growing-file.ts';
import type { Limiter } from '../lib/limiter.ts';
import { type Descriptor, digestAlgorithm, type Reference } from '../oci/index.ts';
import type { Store } from '../store/index.ts';
import type { PullDependencies, PullOptions } from './dependencies.ts';
import { ingestKey } from './plan.ts';

/** A blob that has to be in the store. */
export interface BlobTask {
  /** Names the repository that has it. */
  readonly reference: Reference;
  readonly descriptor: Descriptor;
  /** Of the downloads that belong together. */
  readonly downloads: Limiter;
  readonly options: PullOptions;
  /** Told when a download has begun, which may happen again: the file has the blob's bytes as far as `growing` says. */
  readonly onDownload?: (dataFile: string, growing: GrowingFile) => void;
}

type BlobProgress = (state: 'downloading' | 'verifying', bytes: number) => void;

/**
 * Makes sure that a blob is in the store; an interrupted download goes on where it was. What an earlier run left may
 * be damaged: if the whole has the wrong digest then, it is fetched once more from the start. So it is when another
 * endpoint of the registry may have the right content.
 * @returns bytes that came over the network
 * @throws RegistryError; LadingError `ERR_LADING_DIGEST_MISMATCH`, `ERR_LADING_SIZE_MISMATCH`, `ERR_LADING_DISK_FULL`
 * @see layers.md 13
 */
export async function ensureBlob(
  deps: Pick<PullDependencies, 'store' | 'registry'>,
  task: BlobTask,
  emit: BlobProgress = () => {},
): Promise<number> {
  // The limiter first: looking at the disk would shuffle the order in which the layers were given.
  return task.downloads.run(async () => {
    if (await isStored(deps.store, task.descriptor)) return 0;
    let fetchedBytes = 0;
    for (;;) {
      const result = await download(deps, task, emit);
      fetchedBytes += result.fetchedBytes;
      if (result.outcome === 'stored') return fetchedBytes;
      if (!result.tryAgain) throw result.error;
    }
  });
}

type Download =
  | { readonly outcome: 'stored'; readonly fetchedBytes: number }
  | {
      readonly outcome: 'wrong-content';
      readonly fetchedBytes: number;
      readonly error: unknown;
      readonly tryAgain: boolean;
    };

async function download(
  { store, registry }: Pick<PullDependencies, 'store' | 'registry'>,
  { reference, descriptor, options, onDownload }: BlobTask,
  emit: BlobProgress,
): Promise<Download> {
  const { digest, size } = descriptor;
  const { signal, watch, credentials } = options;
  const algorithm = digestAlgorithm(digest);
  const growing = new GrowingFile();
  const ingest = await store.blobs.openIngest(ingestKey(digest), {
    ...{ maxBytes: size, algorithm, signal },
    onGrown: (bytes) => growing.grow(bytes),
    onWritten: freeMemory,
  });
  const resumedAt = ingest.offset;
  let fetchedBytes = 0;
  let reject = () => false;
  try {
    // Whoever held the ingest while we waited may have committed it.
    if (await isStored(store, descriptor)) {
      await ingest.discard();
      return { outcome: 'stored', fetchedBytes };
    }
    onDownload?.(ingest.dataFile, growing);
    if (resumedAt < size) {
      const call = { signal, watch, offset: resumedAt, credentials };
      const { offset, body, ...fetched } = await registry.fetchBlob(reference, descriptor, call);
      reject = fetched.reject;
      if (offset !== resumedAt) {
        growing.abandon();
        await ingest.restart();
      }
      for await (const chunk of body) {
        fetchedBytes += chunk.byteLength;
        await ingest.append(chunk);
        emit('downloading', ingest.offset);
      }
    }
    emit('verifying', size);
    await ingest.commit({ digest, size });
    return { outcome: 'stored', fetchedBytes };
  } catch (error) {
    growing.abandon();
    if (!wrongContent.has(errorCode(error) ?? '')) {
      await ingest.pause().catch(() => {});
      throw error;
    }
    await ingest.discard();
    return { outcome: 'wrong-content', fetchedBytes, error, tryAgain: resumedAt > 0 || reject() };
  }
}

/** Codes of errors that say that what came is not what was asked for. */
export const wrongContent: ReadonlySet<string> = new Set([
  'ERR_LADING_DIGEST_MISMATCH',
  'ERR_LADING_SIZE_MISMATCH',
  'ERR_LADING_REGISTRY_DIGEST_MISMATCH',
]);

async function isStored(store: Store, { digest, size }: Descriptor): Promise<boolean> {
  return (await store.blobs.size(digest)) === size;
}
