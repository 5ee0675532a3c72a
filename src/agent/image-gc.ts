import { statfs } from 'node:fs/promises';
import type { ImageService, RuntimeService } from '../cri/services.ts';
import type { Clock } from '../lib/clock.ts';
import { errorMessage, LadingError } from '../lib/errors.ts';
import {
  defaultImageGcPolicy,
  detectImages,
  diskPressure,
  type ImageGcPolicy,
  type ImageUse,
  imageGcPolicyError,
  imageGcTexts,
  isRemovable,
  isTooOld,
  removalOrder,
} from '../policy/index.ts';
import { gcImageId } from './container-image.ts';
import type { EventText } from './events.ts';

export interface DiskStats {
  readonly capacityBytes: number;
  readonly availableBytes: number;
}

export interface ImageCollectorOptions {
  readonly images: Pick<ImageService, 'listImages' | 'removeImage' | 'imageFsInfo'>;
  readonly runtime: Pick<RuntimeService, 'listContainers' | 'containerStatus'>;
  readonly clock: Clock;
  readonly policy?: ImageGcPolicy;
  /** Of the file system of images; by default that of the runtime's mount point. */
  readonly diskStats?: () => Promise<DiskStats>;
  /** About the node. */
  readonly onEvent?: (event: EventText) => void;
  /** After space was freed without errors, whether it was enough or not. */
  readonly onCollected?: (collected: Collected) => void | Promise<void>;
}

export interface Collected {
  readonly startedAtMs: number;
  /** Candidates that were looked at and kept: all that the kubelet's hook is given. */
  readonly survivors: readonly string[];
  /** All images that are left: also those in use, pinned, or not looked at. */
  readonly left: readonly string[];
}

/** What one run has done. It has failed when there is an error, whatever it has removed. */
export interface CollectionResult {
  /** Ids in the order of their removal. */
  readonly removed: readonly string[];
  readonly freedBytes: bigint;
  readonly survivors: readonly string[];
  /** The kubelet's text. */
  readonly error?: string | undefined;
}

/** As much as there is: what the kubelet wants freed when it deletes all unused images. */
const everything = 2n ** 63n - 1n;

/**
 * Removes images that no container uses: when the disk fills up the least recently used ones first, and, if the policy
 * says so, those unused for long. Never what a container of the node has, running or not, what is mounted as a volume,
 * or what is pinned.
 * @see pull-policy.md 10
 */
export class ImageCollector {
  readonly #options: ImageCollectorOptions;
  readonly #policy: ImageGcPolicy;
  readonly #startedMs: number;
  #records: Map<string, ImageUse> = new Map();

  /** @throws LadingError `ERR_LADING_KUBELET_CONFIG` for thresholds that the kubelet refuses */
  constructor(options: ImageCollectorOptions) {
    this.#options = options;
    this.#policy = options.policy ?? defaultImageGcPolicy;
    const problem = imageGcPolicyError(this.#policy);
    if (problem !== undefined) throw new LadingError('ERR_LADING_KUBELET_CONFIG', problem);
    this.#startedMs = options.clock.now();
  }

  /**
   * Looks what is there and what is used, as the kubelet does every five minutes.
   * @throws what the runtime throws
   */
  async detect(): Promise<readonly ImageUse[]> {
    const atMs = this.#options.clock.now();
    const images = await this.#options.images.listImages();
    this.#records = detectImages(this.#records, images, await this.#usedIds(), atMs);
    return [...this.#records.values()];
  }

  /**
   * What the kubelet does every five minutes: images unused for too long go, and if the disk is too full, more.
   * @throws what the runtime throws
   */
  async collect(): Promise<CollectionResult> {
    const atMs = this.#options.clock.now();
    const candidates = removalOrder(await this.detect());
    const since = { atMs, collectingSinceMs: this.#startedMs };
    const aged = await this.#remove(candidates, { wants: (image) => isTooOld(image, this.#policy, since) });
    if (aged.errors.length > 0) {
      return { ...aged, error: imageGcTexts.tooOldFailed(this.#policy.maxAgeMs, aged.errors) };
    }
    const stats = await (this.#options.diskStats ?? (() => diskStatsOf(this.#options.images)))();
    if (stats.capacityBytes === 0) {
      return { ...aged, error: this.#warn('InvalidDiskCapacity', imageGcTexts.noCapacity) };
    }
    const pressure = diskPressure(stats, this.#policy);
    if (!pressure) return aged;
    const rest = candidates.filter(({ id }) => !aged.removed.includes(id));
    const freed = await this.#freeSpace(rest, pressure.bytesToFree, atMs);
    const result = { ...freed, removed: [...aged.removed, ...freed.removed] };
    if (freed.error !== undefined || freed.freedBytes >= pressure.bytesToFree) return result;
    const text = imageGcTexts.notEnough(pressure.usagePercent, stats.capacityBytes, freed.freedBytes);
    return { ...result, error: this.#warn('FreeDiskSpaceFailed', text) };
  }

  /**
   * Removes images until so many bytes are free; at least one if any may go.
   * @throws what the runtime throws
   */
  async freeSpace(bytes: bigint): Promise<CollectionResult> {
    const atMs = this.#options.clock.now();
    return this.#freeSpace(removalOrder(await this.detect()), bytes, atMs);
  }

  /** Removes every unused image that is old enough: the kubelet's answer to pressure on the node. */
  deleteUnused(): Promise<CollectionResult> {
    return this.freeSpace(everything);
  }

  async #freeSpace(candidates: readonly ImageUse[], bytes: bigint, startedAtMs: number): Promise<CollectionResult> {
    const freed = await this.#remove(candidates, {
      wants: (image) => isRemovable(image, this.#policy, startedAtMs),
      until: bytes,
    });
    if (freed.errors.length > 0) {
      return { ...freed, error: imageGcTexts.freeSpaceFailed(bytes, freed.freedBytes, freed.errors) };
    }
    await this.#options.onCollected?.({ startedAtMs, survivors: freed.survivors, left: [...this.#records.keys()] });
    return freed;
  }

  async #remove(
    candidates: readonly ImageUse[],
    { wants, until }: { wants: (image: ImageUse) => boolean; until?: bigint },
  ): Promise<CollectionResult & { errors: string[] }> {
    const removed: string[] = [];
    const survivors: string[] = [];
    const errors: string[] = [];
    let freedBytes = 0n;
    for (const image of candidates) {
      if (!wants(image)) {
        survivors.push(image.id);
        continue;
      }
      try {
        await this.#options.images.removeImage({ image: image.id });
      } catch (error) {
        errors.push(errorMessage(error));
        continue;
      }
      this.#records.delete(image.id);
      removed.push(image.id);
      freedBytes += BigInt(image.sizeBytes);
      if (until !== undefined && freedBytes >= until) break;
    }
    return { removed, freedBytes, survivors, errors };
  }

  async #usedIds(): Promise<Set<string>> {
    const used = new Set<string>();
    for (const container of await this.#options.runtime.listContainers()) {
      used.add(gcImageId(container));
      const { mounts } = await this.#options.runtime.containerStatus(container.id);
      for (const { image } of mounts) if (image) used.add(image.image);
    }
    return used;
  }

  #warn(reason: string, message: string): string {
    this.#options.onEvent?.({ type: 'Warning', reason, message });
    return message;
  }
}

async function diskStatsOf(images: ImageCollectorOptions['images']): Promise<DiskStats> {
  const [filesystem] = (await images.imageFsInfo()).imageFilesystems;
  if (!filesystem) return { capacityBytes: 0, availableBytes: 0 };
  const { blocks, bavail, bsize } = await statfs(filesystem.fsId.mountpoint);
  return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize };
}
