import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { machineCredentials } from '../../src/registry/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const auth = (user: string) => ({ auth: Buffer.from(`${user}:secret`).toString('base64') });

describe('what the tools of this machine have been logged in with', () => {
  let folder: string;
  let environment: NodeJS.ProcessEnv;
  beforeEach(async () => {
    folder = await temporaryFolder();
    environment = {
      HOME: folder,
      DOCKER_CONFIG: path.join(folder, 'docker'),
      XDG_RUNTIME_DIR: path.join(folder, 'run'),
      XDG_CONFIG_HOME: path.join(folder, 'config'),
    };
  });
  async function write(name: string, auths: object): Promise<string> {
    const file = path.join(folder, name);
    await mkdir(path.dirname(file), { recursive: true });
    await writeFile(file, JSON.stringify({ auths }));
    return file;
  }
  const usersFor = async (registry: string) =>
    (await machineCredentials(environment)(registry)).map(({ username, path: scope }) => [username, scope]);

  test('docker comes first, then podman of this session, then of this user', async () => {
    await write('docker/config.json', { 'a.test': auth('docker') });
    await write('run/containers/auth.json', { 'a.test': auth('run'), 'b.test': auth('run') });
    await write('config/containers/auth.json', { 'b.test': auth('config'), 'c.test': auth('config') });
    expect(await usersFor('a.test')).toEqual([['docker', undefined]]);
    expect(await usersFor('b.test')).toEqual([['run', '']]);
    expect(await usersFor('c.test')).toEqual([['config', '']]);
    expect(await usersFor('d.test')).toEqual([]);
  });

  test('REGISTRY_AUTH_FILE comes before all', async () => {
    await write('docker/config.json', { 'a.test': auth('docker'), 'b.test': auth('docker') });
    environment.REGISTRY_AUTH_FILE = await write('mine.json', { 'a.test/team': auth('mine') });
    expect(await usersFor('a.test')).toEqual([['mine', 'team']]);
    expect(await usersFor('b.test')).toEqual([['docker', undefined]]);
  });

  test('a broken entry of podman spoils no other one', async () => {
    await write('run/containers/auth.json', { 'a.test': { auth: '%' }, 'b.test': auth('run') });
    await write('config/containers/auth.json', { 'a.test': auth('config') });
    expect(await usersFor('b.test')).toEqual([['run', '']]);
    expect(await usersFor('a.test')).toEqual([['config', '']]);
  });
});
