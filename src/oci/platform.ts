import { readFileSync } from 'node:fs';
import { endianness } from 'node:os';
import { LadingError } from '../lib/errors.ts';

/** @see https://github.com/opencontainers/image-spec/blob/main/image-index.md, `platform` */
export interface Platform {
  readonly architecture: string;
  readonly os: string;
  readonly 'os.version'?: string;
  readonly 'os.features'?: readonly string[];
  readonly variant?: string;
}

const osPattern = /^([A-Za-z0-9_-]+)(?:\(([A-Za-z0-9_.%-]*)((?:\+[A-Za-z0-9_.%-]+)*)\))?$/;
const wordPattern = /^[A-Za-z0-9_.-]+$/;

/** One word alone must be one of these: there is too little text to guess from. The lists are those of Go. */
const knownOses = new Set(
  'aix android darwin dragonfly freebsd hurd illumos ios js linux nacl netbsd openbsd plan9 solaris windows zos'.split(
    ' ',
  ),
);
const knownArchitectures = new Set(
  (
    '386 amd64 amd64p32 arm armbe arm64 arm64be ppc64 ppc64le loong64 mips mipsle mips64 mips64le mips64p32 ' +
    'mips64p32le ppc riscv riscv64 s390 s390x sparc sparc64 wasm'
  ).split(' '),
);

/** The platform of this machine, normalised. */
export function hostPlatform(): Platform {
  const architecture = hostArchitecture();
  return normalizePlatform({
    os: localOs(),
    architecture,
    ...(architecture === 'arm' ? { variant: armVariant(readCpuInfo()) } : {}),
  });
}

/** What containers on this machine run: Linux, also where the machine itself runs something else. */
export function containerPlatform(): Platform {
  return { ...hostPlatform(), os: 'linux' };
}

/** Replaces aliases and spells variants in one way: `x86_64` is `amd64`, `arm` is `arm/v7`. @see registry.md 7.1 */
export function normalizePlatform(platform: Platform): Platform {
  const features = [...new Set(platform['os.features'] ?? [])].sort();
  return {
    ...normalizeArchitecture(platform.architecture, platform.variant ?? ''),
    os: normalizeOs(platform.os),
    ...(platform['os.version'] ? { 'os.version': platform['os.version'] } : {}),
    ...(features.length > 0 ? { 'os.features': features } : {}),
  };
}

/**
 * Reads `os[(version[+feature…])]/architecture[/variant]`, or one word that is an OS or an architecture. What the
 * text leaves open comes from `local`, by default this machine.
 * @throws LadingError `ERR_LADING_PLATFORM_INVALID`
 * @see registry.md 7.1
 */
export function parsePlatform(text: string, local?: Platform): Platform {
  const [first = '', ...words] = text.split('/');
  const [, osName = '', version = '', features = ''] = osPattern.exec(first) ?? [];
  if (osName === '' || words.length > 2 || !words.every((word) => wordPattern.test(word))) throw invalid(text);
  const os = {
    os: normalizeOs(osName),
    ...(version === '' ? {} : { 'os.version': decodeOption(version, text) }),
    ...(features === '' ? {} : { 'os.features': decodeFeatures(features, text) }),
  };
  const [architecture, variant] = words;
  if (architecture === undefined) return parseOneWord(first, os, local ?? hostPlatform(), text);
  if (variant === undefined) return { ...os, ...withoutArmDefault(normalizeArchitecture(architecture, '')) };
  const exact = normalizeArchitecture(architecture, variant);
  return { ...os, ...exact, ...(exact.architecture === 'arm64' && !exact.variant ? { variant: 'v8' } : {}) };
}

/** `linux/arm/v7`, `windows(10.0.20348)/amd64`: a text that `parsePlatform` reads. */
export function formatPlatform(platform: Platform): string {
  const features = [...(platform['os.features'] ?? [])].sort().map((feature) => `+${encodeOption(feature)}`);
  const options = encodeOption(platform['os.version'] ?? '') + features.join('');
  const os = options === '' ? platform.os : `${platform.os}(${options})`;
  return [os, platform.architecture, platform.variant].filter((part) => part).join('/');
}

/**
 * The variant of a 32-bit arm machine from the text of `/proc/cpuinfo`. An ARMv6 Raspberry Pi calls itself 7 there, and
 * a 64-bit processor runs 32-bit programs as v7. @see registry.md 7.2
 */
export function armVariant(cpuInfo: string): string {
  const field = (name: RegExp) => name.exec(cpuInfo)?.[1]?.trim() ?? '';
  const version = /^\d+/.exec(field(/^cpu architecture\s*:(.*)$/im))?.[0];
  if (version === '7' && /^armv6/i.test(field(/^model name\s*:(.*)$/im))) return 'v6';
  return version === '4' || version === '5' || version === '6' ? `v${version}` : 'v7';
}

function parseOneWord(word: string, os: Omit<Platform, 'architecture'>, local: Platform, text: string): Platform {
  if (knownOses.has(os.os)) {
    const { architecture, variant } = local;
    const keepVariant = architecture === 'arm' && variant !== undefined && variant !== 'v7';
    return { ...os, architecture, ...(keepVariant ? { variant } : {}) };
  }
  const parsed = withoutArmDefault(normalizeArchitecture(word, ''));
  if (!knownArchitectures.has(parsed.architecture)) throw invalid(text);
  return { os: local.os, ...parsed };
}

/** Text forms leave the usual variant of arm out: `linux/arm`. */
function withoutArmDefault(parsed: { architecture: string; variant?: string }) {
  return parsed.architecture === 'arm' && parsed.variant === 'v7' ? { architecture: 'arm' } : parsed;
}

function normalizeOs(os: string): string {
  if (os === '') return localOs();
  const lower = os.toLowerCase();
  return lower === 'macos' ? 'darwin' : lower;
}

function normalizeArchitecture(architecture: string, variant: string): { architecture: string; variant?: string } {
  const found = canonicalArchitecture(architecture.toLowerCase(), variant.toLowerCase());
  return found.variant === '' ? { architecture: found.architecture } : found;
}

function canonicalArchitecture(architecture: string, variant: string): { architecture: string; variant: string } {
  switch (architecture) {
    case 'i386':
      return { architecture: '386', variant: '' };
    case 'x86_64':
    case 'x86-64':
    case 'amd64':
      return { architecture: 'amd64', variant: variant === 'v1' ? '' : variant };
    case 'aarch64':
    case 'arm64':
      if (variant === '8' || variant === 'v8' || variant === 'v8.0') return { architecture: 'arm64', variant: '' };
      return { architecture: 'arm64', variant: /^(?:9|v?9\.0)$/.test(variant) ? 'v9' : variant };
    case 'armhf':
      return { architecture: 'arm', variant: 'v7' };
    case 'armel':
      return { architecture: 'arm', variant: 'v6' };
    case 'arm':
      if (variant === '') return { architecture, variant: 'v7' };
      return { architecture, variant: /^[5-8]$/.test(variant) ? `v${variant}` : variant };
    default:
      return { architecture, variant };
  }
}

function decodeFeatures(features: string, text: string): string[] {
  return features
    .slice(1)
    .split('+')
    .map((feature) => decodeOption(feature, text));
}

function decodeOption(option: string, text: string): string {
  try {
    return decodeURIComponent(option);
  } catch (cause) {
    throw invalid(text, cause);
  }
}

function encodeOption(option: string): string {
  return option
    .replace(/[%+()/]/g, encodeURIComponent)
    .replace(/[()]/g, (bracket) => (bracket === '(' ? '%28' : '%29'));
}

function localOs(): string {
  if (process.platform === 'win32') return 'windows';
  return process.platform === 'sunos' ? 'solaris' : process.platform;
}

function hostArchitecture(): string {
  const little = endianness() === 'LE';
  const names: Readonly<Record<string, string>> = {
    x64: 'amd64',
    ia32: '386',
    ppc64: little ? 'ppc64le' : 'ppc64',
    mips: 'mips',
    mipsel: 'mipsle',
  };
  return names[process.arch] ?? process.arch;
}

function readCpuInfo(): string {
  try {
    return readFileSync('/proc/cpuinfo', 'utf8');
  } catch {
    return '';
  }
}

function invalid(text: string, cause?: unknown): LadingError {
  return new LadingError('ERR_LADING_PLATFORM_INVALID', `cannot read the platform ${JSON.stringify(text)}`, {
    hint: 'Write OS/ARCHITECTURE[/VARIANT], for example linux/amd64 or linux/arm/v7.',
    cause,
  });
}
