import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ConfigurationInput, loadConfiguration } from '../../src/cli/configuration/configuration.ts';
import { flagOf, keyNames, variableOf } from '../../src/cli/configuration/keys.ts';
import { kubeletSettings, kubeletValue } from '../../src/cli/configuration/kubelet.ts';
import { runLading } from '../support/lading-process.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lading-config-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let files = 0;
async function file(text: string): Promise<string> {
  const name = join(folder, `${++files}.yaml`);
  await writeFile(name, text);
  return name;
}

function load(input: Partial<ConfigurationInput>) {
  return loadConfiguration({ flags: {}, env: { LADING_CONFIG: '/dev/null' }, uid: 0, ...input });
}

describe('where a value comes from', () => {
  test('a flag goes before the environment, that before the file, that before the default', async () => {
    const config = await file('root: /from/file\nstore:\n  keepCompressedLayers: never\n');
    const env = { LADING_ROOT: '/from/environment' };
    const withFlag = await load({ config, env, flags: { root: '/from/flag' } });
    expect([withFlag.settings.root, withFlag.origins.root]).toEqual(['/from/flag', 'flag --root']);
    const withVariable = await load({ config, env });
    expect([withVariable.settings.root, withVariable.origins.root]).toEqual([
      '/from/environment',
      'environment LADING_ROOT',
    ]);
    const withFile = await load({ config, env: {} });
    expect([withFile.settings.root, withFile.origins.root]).toEqual(['/from/file', `${config}:1`]);
    expect(withFile.settings['store.keepCompressedLayers']).toBe('never');
    expect(withFile.origins['store.keepCompressedLayers']).toBe(`${config}:3`);
    const byDefault = await load({});
    expect([byDefault.settings.root, byDefault.origins.root]).toEqual(['/var/lib/lading', 'default']);
    expect(byDefault.settings['store.keepCompressedLayers']).toBe('always');
  });

  test('an empty flag or variable counts as not given', async () => {
    const { settings } = await load({ flags: { root: '' }, env: { LADING_ROOT: '', LADING_CONFIG: '/dev/null' } });
    expect(settings.root).toBe('/var/lib/lading');
  });

  test('users have their node and their configuration in their own folders', async () => {
    const rootOf = async (env: Record<string, string>) => (await load({ env, uid: 1000 })).settings.root;
    expect(await rootOf({ HOME: folder })).toBe(join(folder, '.local/share/lading'));
    expect(await rootOf({ HOME: folder, XDG_DATA_HOME: '/data' })).toBe('/data/lading');
    expect(await rootOf({ HOME: folder, XDG_DATA_HOME: 'data' })).toBe(join(folder, '.local/share/lading'));
  });

  test('the root is absolute', async () => {
    expect((await load({ flags: { root: 'node' } })).settings.root).toBe(resolve('node'));
  });
});

describe('what a value may be', () => {
  test('texts of flags and variables are read by the kind of their key', async () => {
    const flags = {
      'kubelet.registryBurst': '3',
      'kubelet.serializeImagePulls': 'false',
      'kubelet.preloadedImagesVerificationAllowlist': 'a/b,c/*',
      'registry.mirrors': '{docker.io: "https://m.example", quay.io: ["http://127.0.0.1:5000"]}',
    };
    const { settings } = await load({ flags });
    expect(settings['kubelet.registryBurst']).toBe(3);
    expect(settings['kubelet.serializeImagePulls']).toBe(false);
    expect(settings['kubelet.preloadedImagesVerificationAllowlist']).toEqual(['a/b', 'c/*']);
    expect(settings['registry.mirrors']).toEqual({
      'docker.io': 'https://m.example',
      'quay.io': ['http://127.0.0.1:5000'],
    });
  });

  test('everything wrong is told at once, with its place', async () => {
    const config = await file(
      'store:\n  keepCompressedLayers: nevr\nkubelet:\n  registryBurts: 3\nimages: 3\nregistry:\n  mirrors: {a: "ftp://x"}\n',
    );
    const env = { LADING_KUBELET_REGISTRY_PULL_QPS: 'many' };
    const error = await load({ config, env, flags: { 'images.useCachedMaxAge': '1d' } }).catch((thrown) => thrown);
    expect(error.code).toBe('ERR_LADING_CONFIG');
    for (const problem of [
      `${config}:2: store.keepCompressedLayers: expected always, untilUnpacked or never, found "nevr"`,
      `${config}:4: there is no key kubelet.registryBurts; did you mean kubelet.registryBurst?`,
      `${config}:5: images has keys of its own`,
      `${config}:7: registry.mirrors: Cannot use the mirrors of a: "ftp://x" is not an http or https URL`,
      'environment LADING_KUBELET_REGISTRY_PULL_QPS: kubelet.registryPullQPS: expected a whole number, found "many"',
      'flag --images-use-cached-max-age: images.useCachedMaxAge: expected a duration such as 24h or 1h30m, found "1d"',
    ]) {
      expect(error.message).toContain(problem);
    }
  });

  test.each([
    ['{', /cannot be used: .*\.yaml:1: /],
    ['root: a\nroot: b\n', /\.yaml:2: .*unique/],
    ['- a\n', /\.yaml:1: expected keys with values/],
  ])('%j is no configuration', async (text, problem) => {
    await expect(load({ config: await file(text) })).rejects.toThrow(problem);
  });

  test('a file that is named must be there, the default one need not', async () => {
    await expect(load({ config: join(folder, 'none.yaml') })).rejects.toThrow(/none\.yaml: there is no such file$/);
    expect((await load({ env: { HOME: folder }, uid: 1000 })).file).toBeUndefined();
  });
});

describe('the settings of the kubelet', () => {
  test('the configuration goes before the file of the kubelet, that before the defaults', async () => {
    const kubeletConfig = await file(
      'apiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\nregistryBurst: 7\nregistryPullQPS: 2\n' +
        'crashLoopBackOff: {maxContainerRestartPeriod: 30s}\nclusterDNS: [10.96.0.10]\n',
    );
    const config = await file(`kubeletConfig: ${kubeletConfig}\nkubelet: {registryPullQPS: 9}\n`);
    const settings = await kubeletSettings(await load({ config }));
    expect(settings.config).toMatchObject({ registryBurst: 7, registryPullQPS: 9, crashLoopBackOffMaxMs: 30_000 });
    expect(kubeletValue(settings, 'kubelet.registryPullQPS')).toEqual({ value: 9, origin: `${config}:2` });
    expect(kubeletValue(settings, 'kubelet.registryBurst')).toEqual({ value: 7, origin: kubeletConfig });
    expect(kubeletValue(settings, 'kubelet.crashLoopBackOff.maxContainerRestartPeriod')).toEqual({
      value: '30s',
      origin: kubeletConfig,
    });
    expect(kubeletValue(settings, 'kubelet.imageMinimumGCAge')).toEqual({ value: '2m0s', origin: 'default' });
  });

  test('what the kubelet would refuse is refused', async () => {
    const flags = { 'kubelet.imageGCLowThresholdPercent': '90' };
    await expect(kubeletSettings(await load({ flags }))).rejects.toMatchObject({ code: 'ERR_LADING_KUBELET_CONFIG' });
    const missing = await load({ flags: { kubeletConfig: join(folder, 'none.yaml') } });
    await expect(kubeletSettings(missing)).rejects.toMatchObject({ code: 'ERR_LADING_KUBELET_CONFIG' });
  });
});

test('lading config shows keys, values and origins; a broken file keeps help and version from nothing', async () => {
  const config = await file('store: {keepCompressedLayers: untilUnpacked}\n');
  const shown = await runLading(['--config', config, 'config', '-o', 'json', '--kubelet-registry-burst', '4']);
  expect([shown.exitCode, shown.stderr]).toEqual([0, '']);
  const rows = JSON.parse(shown.stdout) as { key: string }[];
  expect(rows.map(({ key }) => key)).toEqual(keyNames);
  expect(rows).toContainEqual({
    key: 'store.keepCompressedLayers',
    value: 'untilUnpacked',
    origin: `${config}:1`,
    flag: '--store-keep-compressed-layers',
    variable: 'LADING_STORE_KEEP_COMPRESSED_LAYERS',
  });
  expect(rows).toContainEqual(expect.objectContaining({ value: 4, origin: 'flag --kubelet-registry-burst' }));
  const broken = await file('stoer: {}\n');
  expect((await runLading(['--config', broken, 'version'])).exitCode).toBe(0);
  const failed = await runLading(['--config', broken, 'images']);
  expect([failed.exitCode, failed.stdout]).toEqual([1, '']);
  expect(failed.stderr).toContain('there is no key stoer; did you mean store?');
});

test('docs/configuration.md lists every key with its flag and its variable', async () => {
  const text = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');
  const rows = [...text.matchAll(/^\| `([^`]+)` \| `([^`]+)` \| `([^`]+)` \| ./gm)].map((row) => row.slice(1));
  expect(rows).toEqual(keyNames.map((name) => [name, flagOf(name), variableOf(name)]));
});
