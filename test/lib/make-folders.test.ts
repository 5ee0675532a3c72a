import { existsSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { makeFolders } from '../../src/lib/make-folders.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('makes what is missing and says where it began', async () => {
  const folder = await temporaryFolder();
  expect(makeFolders(path.join(folder, 'a/b/c'))).toBe(path.join(folder, 'a'));
  expect(makeFolders(path.join(folder, 'a/b/d'))).toBe(path.join(folder, 'a/b/d'));
  expect(makeFolders(path.join(folder, 'a/b/c'))).toBeUndefined();
  expect(existsSync(path.join(folder, 'a/b/c'))).toBe(true);
});

test('goes through a symlink to a folder', async () => {
  const folder = await temporaryFolder();
  makeFolders(path.join(folder, 'real'));
  symlinkSync('real', path.join(folder, 'link'));
  expect(makeFolders(path.join(folder, 'link'))).toBeUndefined();
  makeFolders(path.join(folder, 'link/sub'));
  expect(existsSync(path.join(folder, 'real/sub'))).toBe(true);
});

test('fails where something else is, or leads nowhere', async () => {
  const folder = await temporaryFolder();
  writeFileSync(path.join(folder, 'file'), '');
  symlinkSync('nowhere/at/all', path.join(folder, 'dangling'));
  expect(() => makeFolders(path.join(folder, 'file'))).toThrow('EEXIST');
  expect(() => makeFolders(path.join(folder, 'file/sub'))).toThrow('ENOTDIR');
  expect(() => makeFolders(path.join(folder, 'dangling'))).toThrow('EEXIST');
  expect(() => makeFolders(path.join(folder, 'dangling/sub'))).toThrow('EEXIST');
});

test.skipIf(process.platform !== 'linux')('fails where no folder can be made in one that is there', () => {
  expect(() => makeFolders('/proc/lading/node')).toThrow('ENOENT');
});
