import { existsSync, mkdirSync, readdirSync, rmdirSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { Applier } from '../../src/unpack/apply.ts';
import { openTreeRoot } from '../../src/unpack/directory-handles.ts';
import { LayerRecord } from '../../src/unpack/layer-record.ts';
import { defaultLimits, LayerBudget } from '../../src/unpack/limits.ts';
import { TarReader } from '../../src/unpack/tar-reader.ts';
import { type TarFields, tarEntry } from '../support/tar-builder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;

describe.skipIf(process.platform !== 'linux' || !isRoot)('nothing leads outside (needs root on Linux)', () => {
  let outside: string;
  let layer: string;
  let apply: (...entries: TarFields[]) => void;

  beforeEach(async () => {
    const folder = await temporaryFolder();
    [outside, layer] = [join(folder, 'outside'), join(folder, 'layer')];
    for (const dir of [outside, layer]) mkdirSync(dir);
    const budget = new LayerBudget(defaultLimits, layer);
    const record = new LayerRecord(join(folder, 'entries'));
    const support = { mode: 'overlay', userxattr: false } as const;
    const applier = new Applier(openTreeRoot(layer), { support, budget, record });
    onTestFinished(() => {
      applier.close();
      record.close();
    });
    const reader = new TarReader(applier, defaultLimits);
    apply = (...entries) => {
      for (const entry of entries) reader.write(tarEntry(entry));
    };
  });

  /** Enough other directories that the handle of an earlier one is closed. */
  const others: TarFields[] = Array.from({ length: 200 }, (_, index) => ({ name: `other-${index}/x/`, type: '5' }));

  test.each([
    ['one level', 'a', 'a/f'],
    ['a level above', 'a', 'a/b/c/f'],
  ])('a directory that somebody swaps for a symlink: %s', (_, swapped, entry) => {
    apply({ name: 'a/b/c/', type: '5' }, ...others);
    for (const dir of ['a/b/c', 'a/b', 'a']) rmdirSync(join(layer, dir));
    mkdirSync(join(outside, 'b/c'), { recursive: true });
    symlinkSync(outside, join(layer, swapped));
    expect(() => apply({ name: entry, data: 'escaped' })).toThrow(/ELOOP|ENOTDIR/);
    expect(readdirSync(outside)).toEqual(['b']);
    expect(existsSync(join(outside, 'b/c/f'))).toBe(false);
  });

  test('a file that somebody puts in the way is not written to', () => {
    apply({ name: 'd/', type: '5' });
    symlinkSync(join(outside, 'target'), join(layer, 'd/f'));
    expect(() => apply({ name: 'd/f', data: 'escaped' })).toThrow('EEXIST');
    expect(readdirSync(outside)).toEqual([]);
  });

  test('a directory that only the way through a symlink passes is not made', () => {
    apply({ name: 's', type: '2', link: 'a/b/../c' }, { name: 's/f', data: 'x' });
    expect(readdirSync(join(layer, 'a'))).toEqual(['c']);
  });

  test.each([
    ['a name of 260 bytes', { [`SCHILY.xattr.user.${'a'.repeat(255)}`]: '1' }],
    ['a value of 70,000 bytes', { 'SCHILY.xattr.user.a': 'v'.repeat(70_000) }],
    ['no name', { 'SCHILY.xattr.': '1' }],
    ['a name that ends at its namespace', { 'SCHILY.xattr.user.': '1' }],
  ])('an extended attribute that no file can have: %s', (_, pax) => {
    expect(() => apply({ name: 'f', pax })).toThrow(expect.objectContaining({ class: 'bad-tar' }));
  });

  test('symlinks in a chain of 255 are followed, 256 are not', () => {
    const links = Array.from({ length: 255 }, (_, index) => ({ name: `l${index}`, type: '2', link: `l${index + 1}` }));
    apply(...links, { name: 'l255/', type: '5' }, { name: 'l0/f', data: 'x' });
    expect(readdirSync(join(layer, 'l255'))).toEqual(['f']);
    apply({ name: 'first', type: '2', link: 'l0' });
    expect(() => apply({ name: 'first/g' })).toThrow(expect.objectContaining({ class: 'unsafe-path' }));
  });

  test('paths far below what one system call takes', () => {
    // Symlinks make the real path longer than any name may be.
    const part = (letter: string) => Array.from({ length: 18 }, () => letter.repeat(200)).join('/');
    apply({ name: `${part('a')}/end`, type: '2', link: '.' }, { name: 'short', type: '2', link: `${part('a')}` });
    apply({ name: `short/${part('b').slice(0, 3000)}/file`, data: 'deep' }, ...others);
    apply({ name: `short/${part('b').slice(0, 3000)}/second`, data: 'deep' });
    apply({ name: `${part('a').slice(0, 200)}`, type: '2', link: 'gone' });
    expect(readdirSync(layer).length).toBe(202);
  });
});
