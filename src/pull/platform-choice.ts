import { debugLog } from '../lib/debug.ts';
import { LadingError } from '../lib/errors.ts';
import {
  availablePlatforms,
  configPlatform,
  type Descriptor,
  formatPlatform,
  type ImageIndex,
  type ImageManifest,
  isImageConfigType,
  matchPlatform,
  type Platform,
  parseImageConfig,
  selectPlatform,
} from '../oci/index.ts';
import type { ImageDocuments } from './documents.ts';

const debug = debugLog('pull');

/** Bounds for indexes in indexes. @see registry.md 6.3 */
const maxDepth = 4;
const maxEntries = 1000;

export interface ChosenManifest {
  readonly descriptor: Descriptor;
  readonly manifest: ImageManifest;
  /** The indexes on the way to it, outermost first. */
  readonly indexes: readonly Descriptor[];
}

/**
 * The image manifest that `platform` uses: the target itself, or the best entry of an index, at any depth; an artifact
 * where no image is. Only the chosen branch is fetched.
 * @throws LadingError `ERR_LADING_PLATFORM_NOT_AVAILABLE`, which lists what there is; `ERR_LADING_INDEX_TOO_DEEP`
 * @see registry.md 7.3
 */
export async function chooseManifest(
  documents: ImageDocuments,
  target: Descriptor,
  platform: Platform,
): Promise<ChosenManifest> {
  const choice = new PlatformChoice(documents, platform);
  const chosen = await choice.from(target, []);
  if (chosen) return chosen;
  const available = [...choice.seen].sort();
  throw new LadingError(
    'ERR_LADING_PLATFORM_NOT_AVAILABLE',
    `no match for platform in manifest: ${target.digest} has nothing for ${formatPlatform(platform)}, it has ${
      available.length > 0 ? available.join(', ') : 'no platforms'
    }`,
    {
      hint: 'Use an image that is built for this platform, or ask for one of these with --platform.',
      data: { platform: formatPlatform(platform), available },
    },
  );
}

class PlatformChoice {
  /** Platforms that were met and not taken. */
  readonly seen = new Set<string>();
  readonly #documents: ImageDocuments;
  readonly #platform: Platform;
  #entries = 0;

  constructor(documents: ImageDocuments, platform: Platform) {
    this.#documents = documents;
    this.#platform = platform;
  }

  async from(descriptor: Descriptor, indexes: readonly Descriptor[]): Promise<ChosenManifest | undefined> {
    const document = await this.#documents.manifest(descriptor);
    if (document.kind === 'manifest') return { descriptor, manifest: document, indexes };
    this.#refuseTooMany(document, indexes.length);
    for (const available of availablePlatforms(document.manifests)) this.seen.add(available);
    const path = [...indexes, descriptor];
    let artifact: ChosenManifest | undefined;
    for (const entry of selectPlatform(this.#platform, document.manifests)) {
      if (path.some(({ digest }) => digest === entry.digest)) continue;
      const chosen = await this.from(entry, path);
      if (!chosen) continue;
      if (entry.platform) return chosen;
      if (!isImageConfigType(chosen.manifest.config.mediaType)) artifact ??= chosen;
      else if (await this.#runsHere(chosen.manifest)) return chosen;
    }
    return this.seen.size === 0 ? artifact : undefined;
  }

  /** An entry that does not say what it runs on: its configuration does. */
  async #runsHere(manifest: ImageManifest): Promise<boolean> {
    const candidate = configPlatform(parseImageConfig(await this.#documents.config(manifest.config)));
    if (matchPlatform(this.#platform, candidate)) return true;
    debug('skipped an entry without platform: its configuration says %s', formatPlatform(candidate));
    this.seen.add(formatPlatform(candidate));
    return false;
  }

  #refuseTooMany(index: ImageIndex, depth: number): void {
    this.#entries += index.manifests.length;
    if (depth < maxDepth && this.#entries <= maxEntries) return;
    throw new LadingError(
      'ERR_LADING_INDEX_TOO_DEEP',
      `the image index has more than ${maxDepth} levels or ${maxEntries} entries`,
      { hint: 'Ask whoever built the image: no builder makes such an index.' },
    );
  }
}
