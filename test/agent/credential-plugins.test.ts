import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, test, vi } from 'vitest';
import { CredentialPlugins, type PluginPod, readCredentialProviders, runPluginFrom } from '../../src/agent/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const pod: PluginPod = { namespace: 'default', name: 'web', uid: 'uid', serviceAccountName: '' };
const v1 = 'credentialprovider.kubelet.k8s.io/v1';

describe('credential plugins', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await temporaryFolder();
    await mkdir(path.join(folder, 'bin'));
  });

  async function install(name: string, script: string): Promise<void> {
    await writeFile(path.join(folder, 'bin', name), `#!/bin/sh\n${script}\n`);
    await chmod(path.join(folder, 'bin', name), 0o755);
  }
  async function configure(providers: object[]): Promise<string> {
    const file = path.join(folder, 'config.yaml');
    const document = { apiVersion: 'kubelet.config.k8s.io/v1', kind: 'CredentialProviderConfig', providers };
    await writeFile(file, JSON.stringify(document));
    return file;
  }
  const provider = (name: string, more: object = {}) => ({
    ...{ name, apiVersion: v1, matchImages: ['*.test', '*.test:5000'], defaultCacheDuration: '1h' },
    ...more,
  });
  const answer = (user: string, cacheKeyType = 'Image') =>
    JSON.stringify({
      kind: 'CredentialProviderResponse',
      apiVersion: v1,
      cacheKeyType,
      auth: { 'a.test': { username: user, password: 'p' } },
    });
  const open = async (providers: object[]) =>
    new CredentialPlugins({
      providers: readCredentialProviders(await configure(providers)),
      run: runPluginFrom(path.join(folder, 'bin')),
    });
  const usersOf = async (plugins: CredentialPlugins, repository: string) =>
    (await plugins.keyring(repository, pod)).lookUp(repository).map(({ username }) => username);

  test('are run with arguments, environment and the image, and their answers are kept', async () => {
    await install('one', `echo "$*|$PLUGIN_SETTING|$(cat)" >> ${folder}/asked; echo '${answer('one')}'`);
    const env = [{ name: 'PLUGIN_SETTING', value: 'set' }];
    const plugins = await open([provider('one', { args: ['get', '--all'], env })]);
    expect(await usersOf(plugins, 'a.test/team/app')).toEqual(['one']);
    expect(await usersOf(plugins, 'a.test/team/app')).toEqual(['one']);
    const asked = (await readFile(path.join(folder, 'asked'), 'utf8')).trimEnd().split('\n');
    const request = { kind: 'CredentialProviderRequest', apiVersion: v1, image: 'a.test/team/app' };
    expect(asked).toEqual([`get --all|set|${JSON.stringify(request)}`]);
  });

  test('one that hangs is ended with whoever asked', async () => {
    await install('hang', `echo $$ > ${folder}/pid; exec sleep 60`);
    const abort = new AbortController();
    const plugins = new CredentialPlugins({
      providers: readCredentialProviders(await configure([provider('hang')])),
      run: runPluginFrom(path.join(folder, 'bin'), abort.signal),
    });
    const users = usersOf(plugins, 'a.test/team/app');
    const pid = await vi.waitFor(async () => Number((await readFile(`${folder}/pid`, 'utf8')) || Number.NaN));
    abort.abort();
    expect(await users).toEqual([]);
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'));
  });

  test('several are asked in order, and one that fails stops nobody', async () => {
    await install('first', `echo '${answer('first')}'`);
    await install('failing', 'echo nonsense; exit 1');
    await install('wrong', `echo '${answer('wrong', 'Pod')}'`);
    await install('other-version', `echo '${answer('x').replace(v1, `${v1}beta1`)}'`);
    await install('last', `echo '${answer('last')}'`);
    const names = ['first', 'failing', 'missing', 'wrong', 'other-version', 'last'];
    const plugins = await open(names.map((name) => provider(name)));
    expect(await usersOf(plugins, 'a.test/app')).toEqual(['first', 'last']);
    expect(await usersOf(plugins, 'a.example/app')).toEqual([]);
  });

  test('are run once for questions about one image at the same time', async () => {
    await install('slow', `echo x >> ${folder}/asked; sleep 0.2; echo '${answer('slow')}'`);
    const plugins = await open([provider('slow', { defaultCacheDuration: '0s' })]);
    const users = await Promise.all([usersOf(plugins, 'a.test/app'), usersOf(plugins, 'a.test/app')]);
    expect(users).toEqual([['slow'], ['slow']]);
    expect(await readFile(path.join(folder, 'asked'), 'utf8')).toBe('x\n');
  });

  test('that need a service account are passed over where there are none', async () => {
    await install('account', `echo '${answer('account')}'`);
    const tokenAttributes = {
      serviceAccountTokenAudience: 'a',
      cacheType: 'Token',
      requireServiceAccount: false,
      optionalServiceAccountAnnotationKeys: ['x'],
    };
    const plugins = await open([provider('account', { tokenAttributes })]);
    expect(await usersOf(plugins, 'a.test/app')).toEqual(['account']);
    const named = await plugins.keyring('a.test/app', { ...pod, serviceAccountName: 'builder' });
    expect(named.lookUp('a.test/app')).toEqual([]);
  });

  test('a folder of files is read in the order of their names', async () => {
    const config = path.join(folder, 'config.d');
    await mkdir(config);
    const document = (name: string) =>
      JSON.stringify({
        apiVersion: 'kubelet.config.k8s.io/v1',
        kind: 'CredentialProviderConfig',
        providers: [provider(name)],
      });
    await writeFile(path.join(config, 'b.json'), document('two'));
    await writeFile(path.join(config, 'a.yaml'), document('one'));
    await writeFile(path.join(config, 'ignored.txt'), 'x');
    expect(readCredentialProviders(config).map(({ name }) => name)).toEqual(['one', 'two']);
    await writeFile(path.join(config, 'c.yml'), document('two'));
    expect(() => readCredentialProviders(config)).toThrow(/"two" is used more than once/);
  });

  test('what is no YAML is told by its line, which is not quoted: it may hold a secret', async () => {
    const file = await configure([]);
    await writeFile(file, 'providers:\n- env:\n  - value: "geheim": x\n');
    let message = '';
    try {
      readCredentialProviders(file);
    } catch (error) {
      ({ message } = error as Error);
    }
    expect(message).toMatch(/it is not YAML: .* at line 3, column 12$/);
    expect(message).not.toContain('geheim');
  });

  test('all problems of a configuration are told at once', async () => {
    const file = await configure([
      provider('a/b', { matchImages: [], defaultCacheDuration: 'soon', env: [{ value: 'x' }] }),
      provider('c', {
        apiVersion: `${v1}beta1`,
        tokenAttributes: {
          cacheType: 'Pod',
          requireServiceAccount: false,
          requiredServiceAccountAnnotationKeys: ['x'],
        },
      }),
    ]);
    const problems = (() => {
      try {
        return readCredentialProviders(file);
      } catch (error) {
        return error as Error & { code: string };
      }
    })();
    expect(problems).toMatchObject({ code: 'ERR_LADING_CREDENTIAL_PROVIDER_CONFIG' });
    for (const problem of [
      'providers[0].name is not the name of a program',
      'providers[0].matchImages is not a list of patterns',
      'providers[0].defaultCacheDuration is not a duration',
      'providers[0].env is not a list of name and value',
      'providers[1].tokenAttributes needs the apiVersion',
      'providers[1].tokenAttributes.serviceAccountTokenAudience is missing',
      'providers[1].tokenAttributes.cacheType is not ServiceAccount or Token',
      'providers[1].tokenAttributes.requiredServiceAccountAnnotationKeys needs requireServiceAccount',
    ]) {
      expect((problems as Error).message).toContain(problem);
    }
  });
});
