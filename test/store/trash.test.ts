import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
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
  expect(await trash.empty()).toBe(0);
});

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
