import { type ImageUse, keptAlways, type Reason, removalOrder } from '../policy/index.ts';

/** What one run has done. It has failed when there is an error, whatever it has removed. */
export interface CollectionResult {
  /** Ids in the order of their removal. */
  readonly removed: readonly string[];
  readonly freedBytes: bigint;
  readonly survivors: readonly string[];
  /** Of all images that were there, in the order in which they are removed, those that are no candidates last. */
  readonly images: readonly CollectedImage[];
  /** Of the file system, in whole percent; undefined when that was not asked. */
  readonly usagePercent?: number | undefined;
  /** The kubelet's text. */
  readonly error?: string | undefined;
}

/** What became of one image, and why. */
export interface CollectedImage {
  readonly id: string;
  /** Tags, or digests of an image that has none. */
  readonly names: readonly string[];
  readonly sizeBytes: number;
  readonly firstDetectedMs: number;
  readonly lastUsedMs: number | undefined;
  readonly outcome: 'removed' | 'kept' | 'failed';
  readonly reason: Reason;
}

/** What the removals of one phase came to. */
export interface Phase {
  readonly freedBytes: bigint;
  readonly survivors: readonly string[];
  readonly errors: readonly string[];
}

/** One collection, and what becomes of each image in it. */
export class Run {
  readonly #removed = new Set<string>();
  readonly #images: readonly ImageUse[];
  readonly #names: ReadonlyMap<string, readonly string[]>;
  readonly #outcomes = new Map<ImageUse, Pick<CollectedImage, 'outcome' | 'reason'>>();
  /** In this phase. */
  readonly #judged = new Set<ImageUse>();

  constructor(images: readonly ImageUse[], names: ReadonlyMap<string, readonly string[]>) {
    this.#images = [...removalOrder(images), ...images.filter((image) => keptAlways(image))];
    this.#names = names;
    for (const image of images) {
      const reason = keptAlways(image);
      if (reason) this.#outcomes.set(image, { outcome: 'kept', reason });
    }
  }

  /** Those that are left, in the order of removal. */
  get candidates(): readonly ImageUse[] {
    return removalOrder(this.#images).filter(({ id }) => !this.#removed.has(id));
  }

  removed(image: ImageUse, reason: Reason): void {
    this.#removed.add(image.id);
    this.#say(image, { outcome: 'removed', reason });
  }

  kept(image: ImageUse, reason: Reason): void {
    this.#say(image, { outcome: 'kept', reason });
  }

  failed(image: ImageUse, reason: Reason): void {
    this.#say(image, { outcome: 'failed', reason });
  }

  /** What is said of images from now on goes before what was said of them. */
  nextPhase(): void {
    this.#judged.clear();
  }

  /** Why those are kept of which nothing has been said in this phase. */
  keepRest(reason: Reason): void {
    for (const image of this.candidates) if (!this.#judged.has(image)) this.kept(image, reason);
  }

  result(
    { freedBytes, survivors }: Phase,
    more: Pick<CollectionResult, 'usagePercent' | 'error'> = {},
  ): CollectionResult {
    const images = this.#images.map((image): CollectedImage => {
      const { id, sizeBytes, firstDetectedMs, lastUsedMs } = image;
      const names = this.#names.get(id) ?? [];
      return { id, names, sizeBytes, firstDetectedMs, lastUsedMs, ...this.#outcomes.get(image)! };
    });
    return { removed: [...this.#removed], freedBytes, survivors, images, ...more };
  }

  #say(image: ImageUse, outcome: Pick<CollectedImage, 'outcome' | 'reason'>): void {
    this.#judged.add(image);
    this.#outcomes.set(image, outcome);
  }
}
