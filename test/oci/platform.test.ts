import { describe, expect, test } from 'vitest';
import {
  armVariant,
  availablePlatforms,
  formatPlatform,
  hostPlatform,
  matchPlatform,
  normalizePlatform,
  type Platform,
  type PlatformEntry,
  type PlatformMode,
  parsePlatform,
  selectPlatform,
} from '../../src/oci/index.ts';

const linux = (architecture: string, variant?: string) => ({
  os: 'linux',
  architecture,
  ...(variant === undefined ? {} : { variant }),
});
const windows = (version?: string) => ({
  os: 'windows',
  architecture: 'amd64',
  ...(version === undefined ? {} : { 'os.version': version }),
});

test('the platform of this machine is normalised and matches itself', () => {
  const host = hostPlatform();
  expect(normalizePlatform(host)).toEqual(host);
  expect(host.architecture).not.toMatch(/x64|ia32|aarch64/);
  expect(matchPlatform(host, host, 'strict')).toBe(true);
  expect(parsePlatform(formatPlatform(host)).architecture).toBe(host.architecture);
});

test.each([
  ['CPU architecture: 7\nmodel name\t: ARMv7 Processor rev 3 (v7l)', 'v7'],
  ['model name\t: ARMv6-compatible processor rev 7 (v6l)\nCPU architecture: 7', 'v6'],
  ['CPU architecture: 8', 'v7'],
  ['CPU architecture\t: 5TEJ', 'v5'],
  ['CPU architecture: 6', 'v6'],
  ['', 'v7'],
])('the arm variant of %j is %s', (cpuInfo, variant) => {
  expect(armVariant(cpuInfo)).toBe(variant);
});

describe('parsePlatform', () => {
  test.each(['', '/', 'linux/amd64/v2/x', 'linux/*', 'linux()x/amd64', 'windows(%zz)/amd64', 'nonsense'])(
    'refuses %j and shows the form',
    (text) => {
      expect(() => parsePlatform(text, linux('amd64'))).toThrow(
        expect.objectContaining({ code: 'ERR_LADING_PLATFORM_INVALID', hint: expect.stringContaining('linux/amd64') }),
      );
    },
  );

  test('takes what one word leaves open from the local platform', () => {
    expect(parsePlatform('arm64', { os: 'freebsd', architecture: 'amd64' })).toEqual({
      os: 'freebsd',
      architecture: 'arm64',
    });
    expect(parsePlatform('linux', linux('arm', 'v6'))).toEqual(linux('arm', 'v6'));
    expect(parsePlatform('linux', linux('arm', 'v7'))).toEqual(linux('arm'));
    expect(parsePlatform('windows', linux('amd64', 'v3'))).toEqual(windows());
  });

  test('reads what formatPlatform writes', () => {
    for (const platform of [
      linux('arm', 'v7'),
      windows('10.0.1+x(y)/%'),
      { ...linux('amd64'), 'os.features': ['b+c', 'a'] },
      { ...windows('10.0.20348.1'), 'os.features': ['win32k'] },
    ]) {
      const features = 'os.features' in platform ? { 'os.features': [...platform['os.features']].sort() } : {};
      expect(parsePlatform(formatPlatform(platform))).toEqual({ ...platform, ...features });
    }
  });
});

describe('matchPlatform', () => {
  test('Windows runs its own build, and from Server 2022 on older ones back to it', () => {
    expect(matchPlatform(windows('10.0.17763.1'), windows('10.0.17763.9'))).toBe(true);
    expect(matchPlatform(windows('10.0.17763'), windows('10.0.20348'))).toBe(false);
    expect(matchPlatform(windows('10.0.20348'), windows('10.0.17763'))).toBe(false);
    expect(matchPlatform(windows('10.0.26100'), windows('10.0.20348'))).toBe(true);
    expect(matchPlatform(windows('10.0.20348'), windows('10.0.26100'))).toBe(false);
    expect(matchPlatform(windows('10.0.26100'), windows('11.0.20348'))).toBe(false);
    expect(matchPlatform(windows('10.0.26100'), windows('nonsense'))).toBe(false);
    expect(matchPlatform(windows('nonsense'), windows('10.0.17763'))).toBe(true);
  });

  test('64-bit arm runs older minors, the v8 line below its v9, and 32-bit arm', () => {
    expect(matchPlatform(linux('arm64', 'v9.4'), linux('arm64', 'v8.9'))).toBe(true);
    expect(matchPlatform(linux('arm64', 'v9.1'), linux('arm64', 'v8.7'))).toBe(false);
    expect(matchPlatform(linux('arm64', 'v8.2'), linux('arm64', 'v8.3'))).toBe(false);
    expect(matchPlatform(linux('arm64', 'v9.8'), linux('arm64'))).toBe(false);
    expect(matchPlatform(linux('arm64'), linux('arm', 'v5'))).toBe(true);
    expect(matchPlatform(linux('arm', 'v8'), linux('arm64'))).toBe(false);
  });

  test('numbers of variants cost no time', () => {
    expect(matchPlatform(linux('amd64', 'v1000000000'), linux('amd64', 'v999999999'))).toBe(true);
  });
});

describe('selectPlatform', () => {
  /** Where in the list the chosen entries are. */
  const positions = (host: Platform, entries: readonly PlatformEntry[], mode?: PlatformMode) =>
    selectPlatform(host, entries, mode).map((entry) => entries.indexOf(entry));
  const manifest = 'application/vnd.oci.image.manifest.v1+json';

  test('prefers the newest variant that runs, then the most features, then the order of the index', () => {
    const entries = [
      { platform: linux('386') },
      { platform: linux('amd64') },
      { platform: linux('amd64', 'v2') },
      { platform: { ...linux('amd64', 'v2'), 'os.features': ['f'] } },
      { platform: linux('amd64', 'v3') },
      {},
    ];
    expect(positions({ ...linux('amd64', 'v2'), 'os.features': ['f'] }, entries)).toEqual([3, 2, 1, 0, 5]);
    expect(positions(linux('amd64', 'v2'), entries, 'strict')).toEqual([2, 5]);
  });

  test('on 64-bit arm 32-bit images come after all others', () => {
    const entries = ['v8', 'v5', 'v7'].map((variant) => ({ platform: linux('arm', variant) }));
    expect(positions(linux('arm64', 'v9'), [...entries, { platform: linux('arm64') }])).toEqual([3, 0, 2, 1]);
  });

  test('leaves out attestations and what is no manifest', () => {
    const platform = linux('amd64');
    const annotations = { 'vnd.docker.reference.type': 'attestation-manifest' };
    expect(
      positions(platform, [
        { platform, mediaType: manifest, annotations },
        { mediaType: manifest, annotations },
        { platform, mediaType: 'application/vnd.example.sbom' },
        { platform, mediaType: manifest, annotations: { other: 'x' } },
        { platform: { os: 'unknown', architecture: 'unknown' }, mediaType: manifest },
      ]),
    ).toEqual([3]);
    const unknown = { platform: { os: 'unknown', architecture: 'unknown' }, mediaType: manifest };
    expect(availablePlatforms([{ platform, mediaType: manifest }, unknown])).toEqual(['linux/amd64']);
  });
});
