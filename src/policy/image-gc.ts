import { goDuration } from './go-text.ts';
import { combinePullErrors } from './pull-error.ts';

/** When images are collected. @see pull-policy.md 10 */
export interface ImageGcPolicy {
  /** Usage of the image file system at which images are removed. */
  readonly highThresholdPercent: number;
  /** Usage down to which they are removed. */
  readonly lowThresholdPercent: number;
  /** For so long after it was first seen an image is not removed to free space. */
  readonly minAgeMs: number;
  /** After so long without use an image is removed whatever the disk says; 0: never. */
  readonly maxAgeMs: number;
}

/** The kubelet's defaults. */
export const defaultImageGcPolicy: ImageGcPolicy = {
  highThresholdPercent: 85,
  lowThresholdPercent: 80,
  minAgeMs: 120_000,
  maxAgeMs: 0,
};

/** Why the kubelet refuses a policy; undefined when it does not. */
export function imageGcPolicyError({
  highThresholdPercent: high,
  lowThresholdPercent: low,
}: {
  readonly highThresholdPercent: number;
  readonly lowThresholdPercent: number;
}): string | undefined {
  const outside = (percent: number) => percent < 0 || percent > 100;
  if (outside(high)) return `invalid HighThresholdPercent ${high}, must be in range [0-100]`;
  if (outside(low)) return `invalid LowThresholdPercent ${low}, must be in range [0-100]`;
  if (low > high) return `LowThresholdPercent ${low} can not be higher than HighThresholdPercent ${high}`;
  return undefined;
}

/** What the collector knows about an image on the node. */
export interface ImageUse {
  readonly id: string;
  readonly sizeBytes: number;
  /** Never removed. */
  readonly pinned: boolean;
  readonly firstDetectedMs: number;
  /** When a container last had it; undefined when none was seen. */
  readonly lastUsedMs: number | undefined;
  readonly inUse: boolean;
}

/**
 * Brings the records of images up to date with what the runtime has.
 * @param usedIds images of all containers, also of those that have ended, and images mounted as volumes
 */
export function detectImages(
  known: ReadonlyMap<string, ImageUse>,
  images: readonly { readonly id: string; readonly size: number; readonly pinned: boolean }[],
  usedIds: ReadonlySet<string>,
  atMs: number,
): Map<string, ImageUse> {
  return new Map(
    images.map(({ id, size, pinned }) => {
      const record = known.get(id);
      const inUse = usedIds.has(id);
      const firstDetectedMs = record?.firstDetectedMs ?? atMs;
      const lastUsedMs = inUse ? atMs : record?.lastUsedMs;
      return [id, { id, sizeBytes: size, pinned, firstDetectedMs, lastUsedMs, inUse }];
    }),
  );
}

/** What may be removed at all, in the order of removal: least recently used first, before them what was never used. */
export function removalOrder(records: Iterable<ImageUse>): ImageUse[] {
  return [...records]
    .filter(({ inUse, pinned }) => !inUse && !pinned)
    .sort(
      (a, b) =>
        compare(a.lastUsedMs ?? Number.NEGATIVE_INFINITY, b.lastUsedMs ?? Number.NEGATIVE_INFINITY) ||
        compare(a.firstDetectedMs, b.firstDetectedMs),
    );
}

/**
 * Whether a candidate is removed for its age alone. The minimum age does not protect it, and an image that no container
 * has used counts as infinitely old.
 * @param collectingSinceMs when the collector was started: what happened before, nobody has seen
 */
export function isTooOld(
  image: ImageUse,
  { maxAgeMs }: ImageGcPolicy,
  { atMs, collectingSinceMs }: { readonly atMs: number; readonly collectingSinceMs: number },
): boolean {
  if (maxAgeMs <= 0 || atMs - collectingSinceMs <= maxAgeMs) return false;
  return image.lastUsedMs === undefined || atMs - image.lastUsedMs > maxAgeMs;
}

/** Whether a candidate may be removed to free space now. */
export function isRemovable(image: ImageUse, { minAgeMs }: ImageGcPolicy, atMs: number): boolean {
  if (image.lastUsedMs !== undefined && image.lastUsedMs >= atMs) return false;
  return atMs - image.firstDetectedMs >= minAgeMs;
}

export interface DiskPressure {
  /** A whole percentage, rounded up. */
  readonly usagePercent: number;
  readonly bytesToFree: bigint;
}

/** What has to be freed of the image file system; undefined below the high threshold. The capacity is not 0. */
export function diskPressure(
  { capacityBytes, availableBytes }: { readonly capacityBytes: number; readonly availableBytes: number },
  { highThresholdPercent, lowThresholdPercent }: ImageGcPolicy,
): DiskPressure | undefined {
  const capacity = BigInt(capacityBytes);
  const available = BigInt(Math.min(availableBytes, capacityBytes));
  const usagePercent = 100 - Number((available * 100n) / capacity);
  if (usagePercent < highThresholdPercent) return undefined;
  return { usagePercent, bytesToFree: (capacity * BigInt(100 - lowThresholdPercent)) / 100n - available };
}

/** The kubelet's texts about collections. */
export const imageGcTexts = {
  noCapacity: 'invalid capacity 0 on image filesystem',
  tooOldFailed: (maxAgeMs: number, errors: readonly string[]) =>
    `wanted to free images older than ${goDuration(maxAgeMs)}, encountered errors in image deletion: ${combinePullErrors(errors)}`,
  freeSpaceFailed: (wanted: bigint, freed: bigint, errors: readonly string[]) =>
    `wanted to free ${wanted} bytes, but freed ${freed} bytes space with errors in image deletion: ${combinePullErrors(errors)}`,
  notEnough: (usagePercent: number, capacityBytes: number, freed: bigint) =>
    `Insufficient free disk space on the node's image filesystem (${usagePercent}% of ${formatCapacity(capacityBytes)} used). Failed to free sufficient space by deleting unused images (freed ${freed} bytes). Investigate disk usage, as it could be used by active images, logs, volumes, or other data.`,
};

/** `10.0 GiB`, as the kubelet prints the capacity of a disk. */
export function formatCapacity(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, bytes)) / 10));
  if (power === 0) return `${bytes} B`;
  return `${(halfToEven((bytes * 10) / 1024 ** power) / 10).toFixed(1)} ${units[power]}`;
}

/** Go rounds what lies exactly between two digits to the even one. */
function halfToEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 === 1 ? rounded - 1 : rounded;
}

function compare(a: number, b: number): number {
  return a < b ? -1 : Number(a > b);
}
