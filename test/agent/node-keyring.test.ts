import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { NodeKeyring } from '../../src/agent/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

let folder: string;
beforeEach(async () => {
  folder = await temporaryFolder();
});

async function write(file: string, content: string): Promise<void> {
  await mkdir(path.dirname(path.join(folder, file)), { recursive: true });
  await writeFile(path.join(folder, file), content);
}
const auths = (user: string) => JSON.stringify({ auths: { 'a.test': { username: user, password: 'p' } } });
const clock = new VirtualClock();
const open = (more: { workingDirectory?: string; dockerConfig?: string } = {}) =>
  new NodeKeyring({ root: path.join(folder, 'root'), home: path.join(folder, 'home'), ...more }, clock);
const userOf = async (keyring: NodeKeyring) => (await keyring.keyring()).lookUp('a.test/app')[0]?.username;

test('the first configuration that can be read counts, and none is merged', async () => {
  expect(await userOf(open())).toBeUndefined();
  await write('home/.dockercfg', JSON.stringify({ 'a.test': { username: 'old', password: 'p' } }));
  expect(await userOf(open())).toBe('old');
  await write('home/.docker/config.json', auths('home'));
  expect(await userOf(open())).toBe('home');
  expect(await userOf(open({ dockerConfig: path.join(folder, 'elsewhere') }))).toBe('old');
  await write('work/config.json', auths('work'));
  expect(await userOf(open({ workingDirectory: path.join(folder, 'work') }))).toBe('work');
  await write('root/config.json', '{ not JSON');
  expect(await userOf(open())).toBe('home');
  await write('root/config.json', JSON.stringify({ auths: {} }));
  expect(await userOf(open())).toBeUndefined();
});

test('what was read is used for five minutes', async () => {
  await write('root/config.json', auths('one'));
  const keyring = open();
  expect(await userOf(keyring)).toBe('one');
  await write('root/config.json', auths('two'));
  await clock.advance(300_000);
  expect(await userOf(keyring)).toBe('one');
  await clock.advance(1);
  expect(await userOf(keyring)).toBe('two');
});
