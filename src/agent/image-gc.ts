import { statfs } from 'node:fs/promises';
import { imageAnnotations } from '../cri/image-annotations.ts';
import type { Image } from '../cri/messages.ts';
import type { ImageService, RuntimeService } from '../cri/services.ts';
import type { Clock } from '../lib/clock.ts';
import { LadingError } from '../lib/errors.ts';
import {
  defaultImageGcPolicy,
  detectImages,
  diskPressure,
  enoughFreed,
  type ImageGcPolicy,
  type ImageUse,
  type ImageVerdict,
  imageGcPolicyError,
  imageGcTexts,
  judgeAge,
  judgeForSpace,
  type ListedImage,
  notFull,
} from '../policy/index.ts';
import { gcImageId } from './container-image.ts';
import { criErrorText } from './cri-error-text.ts';
import type { EventText } from './events.ts';
import { type CollectionResult, type Phase, Run } from './image-gc-run.ts';
import type { ImageMetrics } from './image-metrics.ts';

export interface DiskStats {
  readonly capacityBytes: number;
  readonly availableBytes: number;
}

export interface ImageCollectorOptions {
  readonly images: Pick<ImageService, 'listImages' | 'removeImage' | 'imageFsInfo'>;
  readonly runtime: Pick<RuntimeService, 'listContainers' | 'containerStatus'>;
  readonly clock: Clock;
  readonly policy?: ImageGcPolicy;
  readonly metrics?: ImageMetrics | undefined;
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
  /** By id, as last listed. */
  #names = new Map<string, readonly string[]>();

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
    this.#records = detectImages(this.#records, images.map(listed), await this.#usedIds(), atMs);
    this.#names = new Map(
      images.map(({ id, repoTags, repoDigests }) => [id, repoTags.length > 0 ? repoTags : repoDigests]),
    );
    return [...this.#records.values()];
  }

  /**
   * What the kubelet does every five minutes: images unused for too long go, and if the disk is too full, more.
   * @throws what the runtime throws
   */
  async collect(): Promise<CollectionResult> {
    const atMs = this.#options.clock.now();
    const run = new Run(await this.detect(), this.#names);
    const since = { atMs, collectingSinceMs: this.#startedMs };
    const aged = await this.#remove(run, { judge: (image) => judgeAge(image, this.#policy, since) });
    if (aged.errors.length > 0) {
      return run.result(aged, { error: imageGcTexts.tooOldFailed(this.#policy.maxAgeMs, aged.errors) });
    }
    const stats = await (this.#options.diskStats ?? (() => diskStatsOf(this.#options.images)))();
    if (stats.capacityBytes === 0) {
      return run.result(aged, { error: this.#warn('InvalidDiskCapacity', imageGcTexts.noCapacity) });
    }
    run.nextPhase();
    const { usagePercent, bytesToFree } = diskPressure(stats, this.#policy);
    if (bytesToFree === undefined) {
      run.keepRest(notFull(usagePercent, this.#policy));
      return run.result(aged, { usagePercent });
    }
    const freed = await this.#freeSpace(run, bytesToFree, atMs);
    if (freed.error !== undefined || freed.freedBytes >= bytesToFree) return { ...freed, usagePercent };
    const text = imageGcTexts.notEnough(usagePercent, stats.capacityBytes, freed.freedBytes);
    return { ...freed, usagePercent, error: this.#warn('FreeDiskSpaceFailed', text) };
  }

  /**
   * Removes images until so many bytes are free; at least one if any may go.
   * @throws what the runtime throws
   */
  async freeSpace(bytes: bigint): Promise<CollectionResult> {
    const atMs = this.#options.clock.now();
    return this.#freeSpace(new Run(await this.detect(), this.#names), bytes, atMs);
  }

  /** Removes every unused image that is old enough: the kubelet's answer to pressure on the node. */
  deleteUnused(): Promise<CollectionResult> {
    return this.freeSpace(everything);
  }

  /** The result's `removed` are all of the run, its other figures those of this phase. */
  async #freeSpace(run: Run, bytes: bigint, startedAtMs: number): Promise<CollectionResult> {
    const freed = await this.#remove(run, {
      judge: (image) => judgeForSpace(image, this.#policy, startedAtMs),
      until: bytes,
    });
    if (freed.errors.length > 0) {
      return run.result(freed, { error: imageGcTexts.freeSpaceFailed(bytes, freed.freedBytes, freed.errors) });
    }
    run.keepRest(enoughFreed);
    const left = [...this.#records.keys()];
    await this.#options.onCollected?.({ startedAtMs, survivors: freed.survivors, left });
    return run.result(freed);
  }

  async #remove(
    run: Run,
    { judge, until }: { judge: (image: ImageUse) => ImageVerdict; until?: bigint },
  ): Promise<Phase> {
    const survivors: string[] = [];
    const errors: string[] = [];
    let freedBytes = 0n;
    for (const image of run.candidates) {
      const { removes, reason } = judge(image);
      if (!removes) {
        survivors.push(image.id);
        run.kept(image, reason);
        continue;
      }
      try {
        await this.#options.images.removeImage({ image: image.id });
      } catch (error) {
        const text = criErrorText(error);
        errors.push(text);
        run.failed(image, { fact: 'removal-failed', text: `It cannot be removed: ${text}.` });
        continue;
      }
      this.#records.delete(image.id);
      this.#options.metrics?.collected(until === undefined ? 'age' : 'space');
      run.removed(image, reason);
      freedBytes += BigInt(image.sizeBytes);
      if (until !== undefined && freedBytes >= until) break;
    }
    return { freedBytes, survivors, errors };
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

function listed({ id, size, pinned, spec }: Image): ListedImage {
  const { pulledAt, usedAt, inUse } = imageAnnotations;
  const time = (name: string) => {
    const ms = Date.parse(spec?.annotations?.[name] ?? '');
    return Number.isNaN(ms) ? undefined : ms;
  };
  return {
    id,
    size,
    pinned,
    pulledAtMs: time(pulledAt),
    usedAtMs: time(usedAt),
    inUse: spec?.annotations?.[inUse] === 'true',
  };
}
