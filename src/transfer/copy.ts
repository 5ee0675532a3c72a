import { anySignal } from '../lib/abort.ts';
import { errorCode, LadingError } from '../lib/errors.ts';
import { freeMemory } from '../lib/free-memory.ts';
import { Limiter } from '../lib/limiter.ts';
import { chunkFreed, chunkPasses } from '../lib/young-objects.ts';
import {
  availablePlatforms,
  configPlatform,
  type Descriptor,
  type Digest,
  formatPlatform,
  hostPlatform,
  type ImageIndex,
  type ImageManifest,
  isImageConfigType,
  isIndexType,
  isManifestType,
  matchPlatform,
  type Platform,
  parseImageConfig,
  parseManifest,
  selectPlatform,
} from '../oci/index.ts';
import { isCompressionFault } from './decompressed.ts';
import { collectConfig } from './image-config.ts';
import type { ImageSource, ImageTarget, TransferOptions } from './places.ts';
import { requireSize, verified } from './verified.ts';

/** One blob of a copy. */
export interface CopyProgress {
  /** Digest of the blob. */
  readonly layer: Digest;
  readonly size: number;
  /** `exists`: the target has it. */
  readonly state: 'waiting' | 'copying' | 'done' | 'exists';
  /** Sent so far. */
  readonly bytes: number;
}

export interface CopyOptions extends TransferOptions {
  /**
   * Of an index: every entry, or the best one for a platform; this machine's unless given. A single manifest is copied
   * whatever it runs on, with a warning where that is not what was asked for.
   */
  readonly platform?: Platform | 'all' | undefined;
  /** @see TakenImage */
  readonly labels?: readonly string[] | undefined;
  readonly onProgress?: ((progress: CopyProgress) => void) | undefined;
}

export interface CopyResult {
  /** What the target has now. */
  readonly descriptor: Descriptor;
  readonly manifests: number;
  readonly blobs: number;
  readonly blobsWritten: number;
  readonly bytesWritten: number;
  /** One sentence each. */
  readonly warnings: readonly string[];
}

/** As many as a client takes from one host, and as skopeo: of small blobs, waiting for the answers is what takes time. */
const blobsAtOnce = 6;
/** Bounds for indexes in indexes. @see registry.md 6.3 */
const maxDepth = 4;
const maxManifests = 1000;
/** Between two reports of a blob: one for each chunk took 3 % of the processor in a copy of 144 MB. */
const progressBytes = 256 * 1024;

/**
 * Copies one image: blobs first, then the manifests that name them, indexes last. Only what the target lacks is read.
 * @throws LadingError `ERR_LADING_PLATFORM_NOT_AVAILABLE`, `ERR_LADING_INDEX_TOO_DEEP`, `ERR_LADING_MANIFEST_INVALID`,
 * `ERR_LADING_IMAGE_CONFIG_INVALID`, `ERR_LADING_SIZE_MISMATCH`, and what the two places throw
 */
export function copyImage(from: ImageSource, to: ImageTarget, options: CopyOptions = {}): Promise<CopyResult> {
  return new ImageCopy(from, to, options).run();
}

class ImageCopy {
  readonly #from: ImageSource;
  readonly #to: ImageTarget;
  readonly #options: CopyOptions;
  readonly #stop = new AbortController();
  readonly #signal: AbortSignal;
  readonly #limiter = new Limiter(blobsAtOnce);
  readonly #blobs = new Map<Digest, Promise<void>>();
  /** Those that indexes list, with their sizes. */
  readonly #manifests = new Map<Digest, number>();
  /** Platforms that were met and not taken. */
  readonly #platforms = new Set<string>();
  readonly #warnings: string[] = [];
  #blobsWritten = 0;
  #bytesWritten = 0;

  constructor(from: ImageSource, to: ImageTarget, options: CopyOptions) {
    this.#from = from;
    this.#to = to;
    this.#options = options;
    this.#signal = anySignal(options.signal, this.#stop.signal);
  }

  async run(): Promise<CopyResult> {
    const { labels = [] } = this.#options;
    const { descriptor, bytes, document } = await this.#root();
    await this.#contentOf(document, 1);
    this.#signal.throwIfAborted();
    await this.#to.putImage({ descriptor, bytes, labels }, { signal: this.#signal });
    return {
      descriptor,
      manifests: this.#manifests.size + 1,
      blobs: this.#blobs.size,
      blobsWritten: this.#blobsWritten,
      bytesWritten: this.#bytesWritten,
      warnings: this.#warnings,
    };
  }

  /** The image as it is, or its best part for one platform. */
  async #root(): Promise<CopiedDocument> {
    const { platform } = this.#options;
    const { descriptor: said, ...rest } = await this.#read(await this.#from.resolve({ signal: this.#signal }));
    // A registry may say another size before it is asked for the content.
    const root = { ...rest, descriptor: { ...said, size: rest.bytes.byteLength } };
    if (platform === 'all') return root;
    if (root.document.kind === 'manifest') {
      if (platform) await this.#warnOfOther(root.document, platform);
      return root;
    }
    const wanted = platform ?? hostPlatform();
    const chosen = await this.#choose(root.document, wanted, 1);
    if (chosen) return chosen;
    const available = [...this.#platforms].sort();
    throw new LadingError(
      'ERR_LADING_PLATFORM_NOT_AVAILABLE',
      `${root.descriptor.digest} has nothing for ${formatPlatform(wanted)}, it has ${available.join(', ') || 'no platforms'}`,
      { hint: 'Ask for one of these with --platform, or for all of them with --all.', data: { available } },
    );
  }

  /** As a pull does; what says no platform may be for all of them. */
  async #warnOfOther(manifest: ImageManifest, wanted: Platform): Promise<void> {
    const platform = await this.#platformOf(manifest);
    if (!platform?.os || !platform.architecture || matchPlatform(wanted, platform)) return;
    this.#warnings.push(`the image is for ${formatPlatform(platform)}, not for ${formatPlatform(wanted)}`);
  }

  /** An artifact that says no platform is for all of them, but no substitute for an image. @see registry.md 7.3 */
  async #choose(index: ImageIndex, platform: Platform, depth: number): Promise<CopiedDocument | undefined> {
    refuseDepth(depth);
    for (const available of availablePlatforms(index.manifests)) this.#platforms.add(available);
    let artifact: CopiedDocument | undefined;
    for (const listed of selectPlatform(platform, index.manifests)) {
      const entry = await this.#readListed(listed);
      const { document } = entry;
      if (document.kind === 'index') {
        const chosen = await this.#choose(document, platform, depth + 1);
        if (chosen) return chosen;
      } else if (listed.platform || (await this.#runsOn(document, platform))) {
        return withoutEntryMembers(entry);
      } else if (!isImageConfigType(document.config.mediaType)) {
        artifact ??= withoutEntryMembers(entry);
      }
    }
    return this.#platforms.size === 0 ? artifact : undefined;
  }

  /** Whether an entry that does not say its platform is an image for this one: its configuration says it. */
  async #runsOn(manifest: ImageManifest, platform: Platform): Promise<boolean> {
    const candidate = await this.#platformOf(manifest);
    if (!candidate) return false;
    if (matchPlatform(platform, candidate)) return true;
    this.#platforms.add(formatPlatform(candidate));
    return false;
  }

  /** What an image's configuration says that it runs on; undefined for another artifact. */
  async #platformOf({ config }: ImageManifest): Promise<Platform | undefined> {
    if (!isImageConfigType(config.mediaType)) return undefined;
    const content = () => verified(this.#from.blob(config, { signal: this.#signal }), config, this.#from.place);
    const bytes = await this.#rightContent(config, () => collectConfig(config, content));
    return configPlatform(parseImageConfig(bytes));
  }

  /** A document that an index lists: what the index says of it must be true. */
  async #readListed(entry: Descriptor): Promise<CopiedDocument> {
    const read = await this.#read(entry);
    requireSize(read.bytes.byteLength, entry, this.#from.place);
    return read;
  }

  async #read(descriptor: Descriptor): Promise<CopiedDocument> {
    const bytes = await this.#from.manifest(descriptor.digest, { signal: this.#signal });
    return { descriptor, bytes, document: parseManifest(bytes, descriptor.mediaType) };
  }

  async #contentOf(document: ImageManifest | ImageIndex, depth: number): Promise<void> {
    if (document.kind === 'manifest') {
      await this.#all([document.config, ...document.layers].map((blob) => this.#blob(blob)));
      return;
    }
    refuseDepth(depth);
    for (const entry of document.manifests) {
      const known = this.#manifests.get(entry.digest);
      if (known !== undefined) {
        requireSize(known, entry, this.#from.place);
        continue;
      }
      if (!isManifestType(entry.mediaType) && !isIndexType(entry.mediaType)) {
        await this.#blob(entry);
        continue;
      }
      if (this.#manifests.size >= maxManifests) throw tooDeep();
      const { bytes, document: child } = await this.#readListed(entry);
      this.#manifests.set(entry.digest, bytes.byteLength);
      await this.#contentOf(child, depth + 1);
      await this.#to.putManifest(entry, bytes, { signal: this.#signal });
    }
  }

  #blob(descriptor: Descriptor): Promise<void> {
    const { digest, size } = descriptor;
    let copied = this.#blobs.get(digest);
    if (!copied) {
      this.#emit({ layer: digest, size, state: 'waiting', bytes: 0 });
      copied = this.#limiter.run(() => this.#copyBlob(descriptor));
      this.#blobs.set(digest, copied);
    }
    return copied;
  }

  async #copyBlob(descriptor: Descriptor): Promise<void> {
    this.#signal.throwIfAborted();
    const { digest: layer, size } = descriptor;
    const { repositories, place, givesChunksAway } = this.#from;
    const free = givesChunksAway ? freeChunk : () => {};
    const options = { signal: this.#signal };
    const openUnverified = () => this.#counted(descriptor, this.#from.blob(descriptor, options));
    const open = () => verified(openUnverified(), descriptor, place);
    const offered = { descriptor, open, openUnverified, free, place, repositories };
    const written = await this.#rightContent(descriptor, () => this.#to.putBlob(offered, options));
    if (written) {
      this.#blobsWritten += 1;
      this.#bytesWritten += size;
    }
    this.#emit({ layer, size, state: written ? 'done' : 'exists', bytes: size });
  }

  /** Again as long as wrong content comes, and there is somebody else to ask for it. @see registry.md 5.3 */
  async #rightContent<T>(descriptor: Descriptor, work: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        if (!mayBeWrongContent(error) || !this.#from.reject?.(descriptor)) throw error;
      }
    }
  }

  async *#counted({ digest: layer, size }: Descriptor, content: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
    let bytes = 0;
    let told = 0;
    this.#emit({ layer, size, state: 'copying', bytes });
    for await (const chunk of content) {
      const { byteLength } = chunk;
      bytes += byteLength;
      chunkPasses(byteLength);
      yield chunk;
      if (bytes - told < progressBytes && bytes < size) continue;
      told = bytes;
      this.#signal.throwIfAborted();
      this.#emit({ layer, size, state: 'copying', bytes });
    }
  }

  /** The first failure stops the others, and is waited out, so that nothing writes behind the caller's back. */
  async #all(work: readonly Promise<void>[]): Promise<void> {
    const stop = (error: unknown) => {
      if (!this.#stop.signal.aborted) this.#stop.abort(error);
    };
    await Promise.all(work.map((job) => job.catch(stop)));
    this.#options.signal?.throwIfAborted();
    if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
  }

  #emit(progress: CopyProgress): void {
    this.#options.onProgress?.(progress);
  }
}

function freeChunk(chunk: Uint8Array): void {
  chunkFreed(chunk.byteLength);
  freeMemory(chunk);
}

const mismatches = ['ERR_LADING_DIGEST_MISMATCH', 'ERR_LADING_SIZE_MISMATCH', 'ERR_LADING_REGISTRY_DIGEST_MISMATCH'];

/** Content that cannot be decompressed is wrong before it is hashed. */
function mayBeWrongContent(error: unknown): boolean {
  const code = errorCode(error) ?? '';
  return mismatches.includes(code) || isCompressionFault(code);
}

interface CopiedDocument {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  readonly document: ImageManifest | ImageIndex;
}

/** Platform and annotations of an entry are the index's, not the manifest's. */
function withoutEntryMembers({ descriptor, ...rest }: CopiedDocument): CopiedDocument {
  const { mediaType, digest, size } = descriptor;
  return { descriptor: { mediaType, digest, size }, ...rest };
}

function refuseDepth(depth: number): void {
  if (depth > maxDepth) throw tooDeep();
}

function tooDeep(): LadingError {
  return new LadingError(
    'ERR_LADING_INDEX_TOO_DEEP',
    `the image index has more than ${maxDepth} levels or ${maxManifests} entries`,
    { hint: 'Ask whoever built the image: no builder makes such an index.' },
  );
}
