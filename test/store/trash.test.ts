import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { Trash } from '../../src/store/trash.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('removes names that are not UTF-8, and paths that are longer than the kernel takes', async () => {
  const root = await temporaryFolder();
  const trash = new Trash(root);
  const layer = path.join(root, 'layer');
  mkdirSync(layer);
  for (const byte of [0xfe, 0xff]) writeFileSync(Buffer.concat([Buffer.from(`${layer}/a`), Buffer.from([byte])]), '');
  nestDeeply(layer);
  await trash.remove(layer);
  expect(readdirSync(path.join(root, 'trash'))).toEqual([]);
  await trash.remove(layer);
  expect(trash.take(layer)).toBeUndefined();
  expect(await trash.empty()).toEqual({ tried: 0, notDeleted: [] });
});

test('names what cannot be deleted, and why, until it can', async (context) => {
  const root = await temporaryFolder();
  const trash = new Trash(root);
  const taken = ['immutable', 'mounted', 'plain'].map((name) => {
    mkdirSync(path.join(root, name, 'sub'), { recursive: true });
    writeFileSync(path.join(root, name, 'sub', 'file'), '');
    return trash.take(path.join(root, name))!;
  });
  const [immutable, mounted] = taken as [string, string, string];
  const file = path.join(immutable, 'sub', 'file');
  const mountPoint = path.join(mounted, 'sub');
  if (!succeeds('chattr', '+i', file)) return context.skip('no file can be made immutable here');
  onTestFinished(() => void succeeds('chattr', '-i', file));
  if (!succeeds('mount', '-t', 'tmpfs', 'tmpfs', mountPoint)) return context.skip('nothing can be mounted here');
  onTestFinished(() => void succeeds('umount', mountPoint));
  const { tried, notDeleted } = await trash.empty();
  expect(tried).toBe(3);
  expect([...notDeleted].sort((a, b) => taken.indexOf(a.path) - taken.indexOf(b.path))).toEqual([
    { path: immutable, reason: expect.stringMatching(/^EPERM.*not permitted/i) },
    { path: mounted, reason: expect.stringMatching(/^EBUSY.*busy/i) },
  ]);
  expect(succeeds('chattr', '-i', file) && succeeds('umount', mountPoint)).toBe(true);
  expect(await trash.empty()).toEqual({ tried: 2, notDeleted: [] });
});

function succeeds(program: string, ...args: string[]): boolean {
  return spawnSync(program, args).status === 0;
}

/** 40 folders of 200 bytes, put together from the inside out, since no path to the innermost one exists. */
function nestDeeply(folder: string): void {
  const name = 'd'.repeat(200);
  const built = path.join(folder, 'built');
  mkdirSync(built);
  for (let depth = 0; depth < 40; depth += 1) {
    const outer = path.join(folder, 'outer');
    mkdirSync(outer);
    renameSync(built, path.join(outer, name));
    renameSync(outer, built);
  }
}
