import type { Reason } from './decision.ts';
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

/** Whether the kubelet collects nothing at all. */
export function imageGcIsOff({ highThresholdPercent, maxAgeMs }: ImageGcPolicy): boolean {
  return highThresholdPercent === 100 && maxAgeMs === 0;
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
  /** Since when the runtime has kept account of its uses; undefined: what was before the collector, nobody has seen. */
  readonly accountedSinceMs?: number | undefined;
}

/** An image as the runtime lists it, with what it remembers, which a kubelet's own records do not survive to know. */
export interface ListedImage {
  readonly id: string;
  readonly size: number;
  readonly pinned: boolean;
  readonly pulledAtMs?: number | undefined;
  readonly usedAtMs?: number | undefined;
  /** Something has it that is no container of this agent. */
  readonly inUse?: boolean | undefined;
}

/**
 * Brings the records of images up to date with what the runtime has.
 * @param usedIds images of all containers, also of those that have ended, and images mounted as volumes
 */
export function detectImages(
  known: ReadonlyMap<string, ImageUse>,
  images: readonly ListedImage[],
  usedIds: ReadonlySet<string>,
  atMs: number,
): Map<string, ImageUse> {
  return new Map(
    images.map(({ id, size, pinned, pulledAtMs, usedAtMs, ...listed }) => {
      const record = known.get(id);
      const inUse = usedIds.has(id) || listed.inUse === true;
      const firstDetectedMs = record?.firstDetectedMs ?? Math.min(pulledAtMs ?? atMs, atMs);
      const lastUsedMs = inUse ? atMs : latest(record?.lastUsedMs, usedAtMs);
      return [id, { id, sizeBytes: size, pinned, firstDetectedMs, lastUsedMs, inUse, accountedSinceMs: pulledAtMs }];
    }),
  );
}

/** What may be removed at all, in the order of removal: least recently used first, before them what was never used. */
export function removalOrder(records: Iterable<ImageUse>): ImageUse[] {
  return [...records]
    .filter((image) => !keptAlways(image))
    .sort(
      (a, b) =>
        compare(a.lastUsedMs ?? Number.NEGATIVE_INFINITY, b.lastUsedMs ?? Number.NEGATIVE_INFINITY) ||
        compare(a.firstDetectedMs, b.firstDetectedMs),
    );
}

/** What becomes of an image in a collection, and why. */
export interface ImageVerdict {
  readonly removes: boolean;
  readonly reason: Reason;
}

/** Why an image is no candidate for removal; undefined when it is one. */
export function keptAlways({ inUse, pinned }: ImageUse): Reason | undefined {
  if (inUse) return { fact: 'in-use', text: 'A container or a pull has it.' };
  return pinned ? { fact: 'pinned', text: 'It is pinned.' } : undefined;
}

/**
 * Whether a candidate is removed for its age alone. The minimum age does not protect it, and an image that no container
 * has used counts as infinitely old, once its uses have been watched for long enough.
 * @param collectingSinceMs when the collector was started: what happened before, nobody has seen
 */
export function judgeAge(
  image: ImageUse,
  { maxAgeMs }: ImageGcPolicy,
  { atMs, collectingSinceMs }: { readonly atMs: number; readonly collectingSinceMs: number },
): ImageVerdict {
  const limit = `imageMaximumGCAge is ${goDuration(maxAgeMs)}`;
  const watchedMs = atMs - (image.accountedSinceMs ?? collectingSinceMs);
  if (maxAgeMs <= 0 || watchedMs <= maxAgeMs) {
    return keeps('age-unknown', `Its uses have been watched for ${seconds(watchedMs)}, and ${limit}.`);
  }
  if (image.lastUsedMs === undefined) return removes('too-old', `No container has had it, and ${limit}.`);
  const unusedMs = atMs - image.lastUsedMs;
  const text = `No container has had it for ${seconds(unusedMs)}, and ${limit}.`;
  return unusedMs > maxAgeMs ? removes('too-old', text) : keeps('used-lately', text);
}

/** Whether a candidate may be removed to free space now. */
export function judgeForSpace(image: ImageUse, { minAgeMs }: ImageGcPolicy, atMs: number): ImageVerdict {
  if (image.lastUsedMs !== undefined && image.lastUsedMs >= atMs)
    return keeps('in-use', 'A container has had it just now.');
  const ageMs = atMs - image.firstDetectedMs;
  if (ageMs < minAgeMs) {
    const text = `It is on the node for ${seconds(ageMs)}, and imageMinimumGCAge is ${goDuration(minAgeMs)}.`;
    return keeps('too-young', text);
  }
  const { lastUsedMs } = image;
  const use =
    lastUsedMs === undefined ? 'no container has had it' : `the last use was ${seconds(atMs - lastUsedMs)} ago`;
  return removes('space', `Space is needed, and ${use}.`);
}

/** Of a candidate whose turn did not come. */
export const enoughFreed: Reason = {
  fact: 'enough-freed',
  text: 'Others that were unused for longer gave enough space.',
};

/** Of a candidate while the disk is not full. */
export function notFull(usagePercent: number, { highThresholdPercent }: ImageGcPolicy): Reason {
  const text = `The disk is used to ${usagePercent}%, and imageGCHighThresholdPercent is ${highThresholdPercent}.`;
  return { fact: 'not-full', text };
}

function keeps(fact: string, text: string): ImageVerdict {
  return { removes: false, reason: { fact, text } };
}

function removes(fact: string, text: string): ImageVerdict {
  return { removes: true, reason: { fact, text } };
}

/** A duration in whole seconds: nobody wants to know more about an age. */
function seconds(ms: number): string {
  return goDuration(Math.floor(Math.max(0, ms) / 1000) * 1000);
}

function latest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.max(a, b);
}

export interface DiskPressure {
  /** A whole percentage, rounded up. */
  readonly usagePercent: number;
  /** Undefined below the high threshold. */
  readonly bytesToFree: bigint | undefined;
}

/** How full the image file system is, and what has to be freed of it. The capacity is not 0. */
export function diskPressure(
  { capacityBytes, availableBytes }: { readonly capacityBytes: number; readonly availableBytes: number },
  { highThresholdPercent, lowThresholdPercent }: ImageGcPolicy,
): DiskPressure {
  const capacity = BigInt(capacityBytes);
  const available = BigInt(Math.min(availableBytes, capacityBytes));
  const usagePercent = 100 - Number((available * 100n) / capacity);
  if (usagePercent < highThresholdPercent) return { usagePercent, bytesToFree: undefined };
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
