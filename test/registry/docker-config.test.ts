import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { credentialFromHelper } from '../../src/registry/credential-helper.ts';
import { dockerConfigCredentials } from '../../src/registry/docker-config.ts';
import { failureOf } from './fixtures.ts';

const base64 = (text: string) => Buffer.from(text).toString('base64');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lading-docker-config-'));
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const writeConfig = (config: unknown) => writeFile(path.join(folder, 'config.json'), JSON.stringify(config));
const find = (registry: string, environment = {}) =>
  dockerConfigCredentials({ DOCKER_CONFIG: folder, ...environment })(registry);

describe('docker config.json', () => {
  test('no file means anonymous', async () => {
    expect(await find('registry.test')).toEqual([]);
  });

  test('says where a credential came from, and is read anew each time', async () => {
    await writeConfig({ auths: { 'https://registry.test/v2/': { auth: base64('user:p:w') } } });
    const origin = `docker config.json (${path.join(folder, 'config.json')})`;
    expect(await find('registry.test')).toEqual([{ username: 'user', password: 'p:w', origin }]);
    await writeConfig({});
    expect(await find('registry.test')).toEqual([]);
  });

  test('names of members are read whatever their case, as docker does', async () => {
    await writeConfig({ AUTHS: { 'registry.test': { Auth: base64('user:pw') }, 'other.test': null } });
    expect(await find('registry.test')).toMatchObject([{ username: 'user', password: 'pw' }]);
    expect(await find('other.test')).toEqual([]);
    const environment = JSON.stringify({ Auths: { 'registry.test': { AUTH: base64('env:e') } } });
    expect(await find('registry.test', { DOCKER_AUTH_CONFIG: environment })).toMatchObject([{ username: 'env' }]);
  });

  test('a fault is an error that names the file and shows no secret', async () => {
    await writeConfig({ auths: { 'registry.test': { auth: base64('no-colon-but-secret') } } });
    const error = await failureOf(find('other.test'));
    expect(error.code).toBe('ERR_LADING_CREDENTIALS_CONFIG_INVALID');
    expect(error.message).toContain(path.join(folder, 'config.json'));
    expect(error.message).not.toContain('secret');
    await writeFile(path.join(folder, 'config.json'), '{"auths": {"registry.test": {"auth": secret');
    expect((await failureOf(find('registry.test'))).message).not.toContain('secret');
  });

  test('DOCKER_AUTH_CONFIG wins; with anything else than auth in it, it is ignored with a warning', async () => {
    await writeConfig({ auths: { 'registry.test': { auth: base64('file:f') } } });
    const withAuth = JSON.stringify({ auths: { 'registry.test': { auth: base64('env:e') } } });
    expect(await find('registry.test', { DOCKER_AUTH_CONFIG: withAuth })).toMatchObject([
      { username: 'env', origin: 'DOCKER_AUTH_CONFIG' },
    ]);
    const warn = vi.spyOn(process, 'emitWarning').mockImplementation(() => {});
    const withHelper = JSON.stringify({ auths: {}, credsStore: 'x' });
    expect(await find('registry.test', { DOCKER_AUTH_CONFIG: withHelper })).toMatchObject([{ username: 'file' }]);
    expect(warn).toHaveBeenCalledOnce();
    warn.mockRestore();
  });
});

describe('credential helpers', () => {
  const oldPath = process.env.PATH;
  beforeEach(() => {
    process.env.PATH = `${folder}${path.delimiter}${oldPath}`;
  });
  afterEach(() => {
    process.env.PATH = oldPath;
  });

  async function installHelper(name: string, script: string): Promise<void> {
    const file = path.join(folder, `docker-credential-${name}`);
    await writeFile(file, `#!/bin/sh\n${script}\n`);
    await chmod(file, 0o755);
  }

  test('a program is asked with the key on its standard input', async () => {
    await installHelper(
      'echo',
      'read -r key; echo "talk" >&2; echo "{\\"Username\\":\\"$1\\",\\"Secret\\":\\"$key\\"}"',
    );
    await writeConfig({ credHelpers: { 'https://index.docker.io/v1/': 'echo' } });
    expect(await find('docker.io')).toEqual([
      { username: 'get', password: 'https://index.docker.io/v1/', origin: 'credential helper docker-credential-echo' },
    ]);
  });

  test('"not found" is anonymous, even if the file has an entry', async () => {
    await installHelper('empty', 'echo credentials not found in native keychain; exit 1');
    await writeConfig({ credsStore: 'empty', auths: { 'registry.test': { auth: base64('a:b') } } });
    expect(await find('registry.test')).toEqual([]);
  });

  test('so is an empty credential', async () => {
    await installHelper('empty', `echo '{"ServerURL":"registry.test","Username":"","Secret":""}'`);
    expect(await credentialFromHelper('empty', 'registry.test')).toBeUndefined();
    await installHelper('list', 'echo []');
    const error = await failureOf(credentialFromHelper('list', 'registry.test'));
    expect(error.code).toBe('ERR_LADING_CREDENTIALS_HELPER_FAILED');
  });

  test('one that hangs is ended when nobody waits for it any more', async () => {
    await installHelper('hang', `echo $$ > ${path.join(folder, 'pid')}; exec sleep 60`);
    await writeConfig({ credsStore: 'hang' });
    const abort = new AbortController();
    const asked = failureOf(dockerConfigCredentials({ DOCKER_CONFIG: folder })('registry.test', abort));
    const pid = await vi.waitFor(async () => Number((await readFile(path.join(folder, 'pid'), 'utf8')) || Number.NaN));
    abort.abort();
    await asked;
    await vi.waitFor(() => expect(() => process.kill(pid, 0)).toThrow('ESRCH'));
  });

  test('an identity token is recognised', async () => {
    await installHelper('acr', `echo '{"Username":"<token>","Secret":"refresh"}'`);
    expect(await credentialFromHelper('acr', 'x.azurecr.io')).toMatchObject({ identityToken: 'refresh' });
  });

  test('a failure is an error without what the program printed', async () => {
    await installHelper('broken', 'echo top-secret; exit 3');
    const error = await failureOf(credentialFromHelper('broken', 'registry.test'));
    expect(error.code).toBe('ERR_LADING_CREDENTIALS_HELPER_FAILED');
    expect(error.message).not.toContain('top-secret');
    await installHelper('endless', 'yes top-secret');
    const endless = await failureOf(credentialFromHelper('endless', 'registry.test'));
    expect(endless.code).toBe('ERR_LADING_CREDENTIALS_HELPER_FAILED');
    expect(endless.message).toContain('printed too much');
  });

  test('a helper that is not installed, or whose name is a path, is an error', async () => {
    for (const name of ['definitely-absent', '../evil', 'a b']) {
      const error = await failureOf(credentialFromHelper(name, 'registry.test'));
      expect(error.code).toBe('ERR_LADING_CREDENTIALS_HELPER_NOT_FOUND');
    }
  });
});
