import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readdir, rename, stat, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { RunningPods, serveNodeApi, socketFolder } from '../../src/api/index.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const serve = async (folder: string, root: string) => {
  const api = await serveNodeApi({ folder, root, pods: () => [], metrics: async () => '' });
  onTestFinished(() => api.close());
  return api;
};

test('the folder: of root, of a user, of one without, of one whose path is too long', () => {
  expect(socketFolder({}, 0)).toBe('/run/lading');
  expect(socketFolder({ XDG_RUNTIME_DIR: '/run/user/1000' }, 1000)).toBe('/run/user/1000/lading');
  expect(socketFolder({}, 1000)).toBe('/tmp/lading-1000');
  expect(socketFolder({ XDG_RUNTIME_DIR: `/${'x'.repeat(80)}` }, 1000)).toBe('/tmp/lading-1000');
  expect(socketFolder({ LADING_SOCKET_DIR: '/s', XDG_RUNTIME_DIR: '/run/user/1000' }, 0)).toBe('/s');
});

test('a socket is for its owner alone, found by the real path of the node, and gone at the end', async () => {
  const base = await temporaryFolder();
  const [folder, root, link] = ['run', 'node', 'link'].map((name) => path.join(base, name)) as [string, string, string];
  await mkdir(root);
  await symlink(root, link);
  const api = await serve(folder, link);
  expect((await stat(api.path)).mode & 0o777).toBe(0o600);
  expect((await stat(folder)).mode & 0o777).toBe(0o700);
  expect(await new RunningPods({ folder, root }).list()).toEqual([]);
  await expect(new RunningPods({ folder, root }).retry('web')).rejects.toMatchObject({
    code: 'ERR_LADING_POD_UNKNOWN',
  });
  await api.close();
  expect(await readdir(folder)).toEqual([]);
  await expect(new RunningPods({ folder, root }).retry('web')).rejects.toMatchObject({
    code: 'ERR_LADING_NOTHING_RUNS',
  });
});

test('what a killed process left is passed over and removed', async () => {
  const folder = await temporaryFolder();
  const root = await temporaryFolder();
  const api = await serve(folder, root);
  const dead = api.path.replace(/\d+\.sock$/, '1.sock');
  const server = createServer().listen(`${dead}.tmp`);
  await once(server, 'listening');
  // Closing would remove it under the name that it was made with.
  await rename(`${dead}.tmp`, dead);
  server.close();
  expect(await new RunningPods({ folder, root }).list()).toEqual([]);
  expect(await readdir(folder)).toEqual([path.basename(api.path)]);
});

test('and so is what it left for nodes that nobody asks about any more', async () => {
  const folder = await temporaryFolder();
  const dead = spawnSync(process.execPath, ['-e', 'console.log(process.pid)'], { encoding: 'utf8' }).stdout.trim();
  for (const name of [`0123456789abcdef-${dead}.sock`, `0123456789abcdef-${process.pid}.sock`, 'other']) {
    await writeFile(path.join(folder, name), '');
  }
  const api = await serve(folder, await temporaryFolder());
  const left = [`0123456789abcdef-${process.pid}.sock`, 'other', path.basename(api.path)];
  expect((await readdir(folder)).sort()).toEqual(left.sort());
});

test('a process that does not answer is named', async () => {
  const [folder, root] = [await temporaryFolder(), await temporaryFolder()];
  const api = await serve(folder, root);
  const silent = createServer().listen(api.path.replace(/\d+\.sock$/, '1.sock'));
  onTestFinished(() => void silent.close());
  await once(silent, 'listening');
  await expect(new RunningPods({ folder, root }).list()).rejects.toMatchObject({
    code: 'ERR_LADING_SOCKET',
    message: expect.stringMatching(/^the process behind .*-1\.sock does not answer$/),
  });
});

test('a folder that others may write to is not used', async () => {
  const folder = await temporaryFolder();
  await writeFile(path.join(folder, 'x'), '');
  await chmod(folder, 0o777);
  await expect(serveNodeApi({ folder, root: folder, pods: () => [], metrics: async () => '' })).rejects.toMatchObject({
    code: 'ERR_LADING_SOCKET',
  });
  await expect(new RunningPods({ folder, root: folder }).list()).rejects.toMatchObject({ code: 'ERR_LADING_SOCKET' });
});

test('a path that is too long for a socket is told', async () => {
  const folder = path.join(await temporaryFolder(), 'x'.repeat(100));
  await expect(serveNodeApi({ folder, root: folder, pods: () => [], metrics: async () => '' })).rejects.toMatchObject({
    code: 'ERR_LADING_SOCKET',
    hint: 'Name a folder with a shorter path in LADING_SOCKET_DIR.',
  });
});
