import { isIndexType, isManifestType } from './media-types.ts';
import { formatPlatform, normalizePlatform, type Platform } from './platform.ts';

/** `compatible`: what the processor also runs, such as older variants; `strict`: the platform itself only. */
export type PlatformMode = 'compatible' | 'strict';

/** What an entry of an image index tells about itself; a `Descriptor` is one. */
export interface PlatformEntry {
  readonly platform?: Platform;
  readonly mediaType?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

/** Highest minor versions that Arm has published for its 64-bit variants. */
const arm64MaxMinors: Readonly<Record<string, number>> = { '8': 9, '9': 7 };
/** Windows Server 2022: from this build on, Windows also runs containers of older builds, down to this one. */
const windowsStableBuild = 20348;
/** Ranks behind every variant of the host's own architecture. */
const lastResort = Number.MAX_SAFE_INTEGER / 2;

/** Whether a machine of platform `host` runs images of platform `candidate`. @see registry.md 7.2 */
export function matchPlatform(host: Platform, candidate: Platform, mode: PlatformMode = 'compatible'): boolean {
  return preference(normalizePlatform(host), normalizePlatform(candidate), mode) !== undefined;
}

/**
 * The entries that `host` can use, best first. Attestations and entries that are no manifest are left out;
 * entries without a platform come last, and whoever takes one must read its config to decide.
 * @see registry.md 7.3
 */
export function selectPlatform<T extends PlatformEntry>(
  host: Platform,
  entries: readonly T[],
  mode: PlatformMode = 'compatible',
): T[] {
  const normalizedHost = normalizePlatform(host);
  const usable: { entry: T; rank: number; features: number }[] = [];
  for (const entry of entries) {
    if (!isImage(entry)) continue;
    const candidate = entry.platform && normalizePlatform(entry.platform);
    const rank = candidate ? preference(normalizedHost, candidate, mode) : Number.POSITIVE_INFINITY;
    if (rank !== undefined) usable.push({ entry, rank, features: candidate?.['os.features']?.length ?? 0 });
  }
  usable.sort((a, b) => (a.rank === b.rank ? b.features - a.features : a.rank - b.rank));
  return usable.map(({ entry }) => entry);
}

/** The platforms that an index has something for, in its order: attestations run nowhere. */
export function availablePlatforms(entries: readonly PlatformEntry[]): string[] {
  const isKnown = ({ os, architecture }: Platform) => os !== 'unknown' || architecture !== 'unknown';
  return entries.flatMap(({ platform, ...entry }) =>
    platform && isKnown(platform) && isImage(entry) ? [formatPlatform(platform)] : [],
  );
}

function isImage({ mediaType, annotations }: PlatformEntry): boolean {
  if (annotations?.['vnd.docker.reference.type'] === 'attestation-manifest') return false;
  return mediaType === undefined || isManifestType(mediaType) || isIndexType(mediaType);
}

/** 0 for the platform itself, more for what is only compatible, undefined for what does not run. Both normalised. */
function preference(host: Platform, candidate: Platform, mode: PlatformMode): number | undefined {
  const runs =
    host.os === candidate.os &&
    (candidate['os.features'] ?? []).every((feature) => host['os.features']?.includes(feature)) &&
    (host.os !== 'windows' || windowsRuns(host['os.version'], candidate['os.version']));
  if (!runs) return undefined;
  if (mode === 'compatible') return processorPreference(host, candidate);
  return host.architecture === candidate.architecture && host.variant === candidate.variant ? 0 : undefined;
}

function processorPreference(host: Platform, candidate: Platform): number | undefined {
  const same = host.architecture === candidate.architecture;
  switch (host.architecture) {
    case 'amd64':
      if (same) return stepsDown(host.variant ?? 'v1', candidate.variant ?? 'v1', { lowest: 1 });
      return candidate.architecture === '386' && candidate.variant === undefined ? lastResort : undefined;
    case 'arm':
      return same ? stepsDown(host.variant, candidate.variant, { lowest: 5 }) : undefined;
    case 'arm64':
      return arm64Preference(host.variant ?? 'v8', candidate);
    default:
      return same && host.variant === candidate.variant ? 0 : undefined;
  }
}

/** A host v9.x also runs v8.(x+5): the two lines share their features. Every 64-bit variant runs 32-bit arm up to v8. */
function arm64Preference(hostVariant: string, candidate: Platform): number | undefined {
  const host = arm64Version(hostVariant);
  if (!host) return undefined;
  if (candidate.architecture === 'arm') {
    const steps = stepsDown('v8', candidate.variant, { lowest: 5 });
    return steps === undefined ? undefined : lastResort + steps;
  }
  const wanted = candidate.architecture === 'arm64' ? arm64Version(candidate.variant ?? 'v8') : undefined;
  if (!wanted) return undefined;
  if (wanted.major === host.major) return wanted.minor <= host.minor ? host.minor - wanted.minor : undefined;
  const newestV8 = Math.min(host.minor + 5, arm64MaxMinors['8']!);
  if (host.major !== 9 || wanted.minor > newestV8) return undefined;
  return host.minor + 1 + newestV8 - wanted.minor;
}

function arm64Version(variant: string): { major: number; minor: number } | undefined {
  const [, major = '', minor = '0'] = /^v([89])(?:\.([1-9]))?$/.exec(variant) ?? [];
  return Number(minor) <= (arm64MaxMinors[major] ?? -1) ? { major: Number(major), minor: Number(minor) } : undefined;
}

/** How many numbers `v5` is below `v7`; undefined when it is above, or not in the line down to `lowest`. */
function stepsDown(host: string | undefined, candidate: string | undefined, { lowest }: { lowest: number }) {
  if (host === candidate) return 0;
  const from = Number(/^v?(\d+)$/.exec(host ?? '')?.[1]);
  const to = Number(/^v([1-9]\d*)$/.exec(candidate ?? '')?.[1]);
  return to >= lowest && to < from ? from - to : undefined;
}

/** Windows runs containers of its own build; from Server 2022 on also those of older builds back to it. */
function windowsRuns(host: string | undefined, candidate: string | undefined): boolean {
  const own = windowsBuild(host);
  if (!own || !candidate) return true;
  const wanted = windowsBuild(candidate);
  if (wanted?.release !== own.release) return false;
  if (own.build < windowsStableBuild) return wanted.build === own.build;
  return wanted.build >= windowsStableBuild && wanted.build <= own.build;
}

function windowsBuild(version = ''): { release: string; build: number } | undefined {
  const [, release = '', build] = /^(\d{1,3}\.\d{1,3})\.(\d{1,5})(?:\.|$)/.exec(version) ?? [];
  return build === undefined ? undefined : { release, build: Number(build) };
}
