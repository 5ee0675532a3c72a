import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { mount, umount2, unmountFlags } from '../../src/lib/libc.ts';
import { UnpackPool } from '../../src/unpack/index.ts';
import { makeLayer } from '../support/layer-factory.ts';
import type { TarFields } from '../support/tar-builder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;

function mountable(): boolean {
  return isRoot && process.platform === 'linux';
}

describe.skipIf(!mountable())('a small disk (needs root on Linux)', () => {
  let folder: string;
  let pool: UnpackPool;
  beforeEach(async () => {
    folder = await temporaryFolder();
    pool = new UnpackPool({ workers: 1 });
    onTestFinished(() => pool.close());
  });

  function tmpfs(options: string): string {
    const dir = join(folder, 'disk');
    mkdirSync(dir);
    mount('tmpfs', dir, 'tmpfs', 0, options);
    onTestFinished(() => umount2(dir, unmountFlags.detach));
    return dir;
  }
  const files = (count: number, bytes: number): TarFields[] =>
    Array.from({ length: count }, (_, index) => ({ name: `d${index}/f`, data: 'x'.repeat(bytes) }));
  const unpackTo = (disk: string, entries: TarFields[]) => {
    const where = { pool, folder, support: { mode: 'overlay', userxattr: false } as const };
    const targetDir = join(disk, 'layer');
    mkdirSync(targetDir);
    return makeLayer(where, 'layer', entries, { targetDir });
  };

  test('more bytes than are free: known from the count, before the disk is full', async () => {
    const disk = tmpfs('size=2m');
    await expect(unpackTo(disk, files(10, 300_000))).rejects.toMatchObject({
      class: 'too-large',
      message: expect.stringContaining(`bytes that are free on the disk of ${disk}/layer`),
    });
  });

  test('more inodes than are free, directories that nobody lists included', async () => {
    const disk = tmpfs('size=20m,nr_inodes=100');
    await expect(unpackTo(disk, files(60, 1))).rejects.toMatchObject({
      class: 'too-large',
      message: expect.stringContaining(`inodes that are free on the disk of ${disk}/layer`),
    });
  });

  test('a disk without limits of its own, which says that it has nothing free, takes a layer', async () => {
    const disk = tmpfs('size=0,nr_inodes=0');
    expect((await unpackTo(disk, files(3, 1000))).facts).toMatchObject({ entries: 3, contentBytes: 3000 });
  });

  test('a disk that is full earlier, since small files take whole pages', async () => {
    const disk = tmpfs('size=1m');
    await expect(unpackTo(disk, files(300, 1))).rejects.toMatchObject({
      code: 'ERR_LADING_DISK_FULL',
      message: expect.stringMatching(
        /^no room for "d\d+\/f": ENOSPC.* on the disk of \S+, 0B and \d+ inodes are free$/,
      ),
      data: { path: `${disk}/layer`, freeBytes: 0 },
      cause: { code: 'ENOSPC' },
      hint: expect.stringContaining('gc'),
    });
  });

  test('no inode for the record of the entries', async () => {
    const disk = tmpfs('nr_inodes=2');
    const where = { pool, folder, support: { mode: 'overlay', userxattr: false } as const };
    const targetDir = join(disk, 'layer');
    mkdirSync(targetDir);
    const unpacking = makeLayer(where, 'layer', files(1, 1), { targetDir, entriesFile: join(disk, 'entries') });
    await expect(unpacking).rejects.toMatchObject({
      code: 'ERR_LADING_DISK_FULL',
      message: expect.stringContaining(`on the disk of ${targetDir}, `),
      cause: { code: 'ENOSPC' },
      data: { freeInodes: 0 },
    });
  });
});
