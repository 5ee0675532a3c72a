import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { buildFixUp, type LayerDirectory, type TaskOptions, UnpackPool } from '../../src/unpack/index.ts';
import { makeLayer } from '../support/layer-factory.ts';
import type { TarFields } from '../support/tar-builder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;
const mebibyte = 2 ** 20;

describe.skipIf(process.platform !== 'linux' || !isRoot)('copied layers (needs root on Linux)', () => {
  let folder: string;
  let target: string;
  let merge: (layers: LayerDirectory[], options?: TaskOptions) => Promise<void>;
  let layer: (name: string, ...entries: TarFields[]) => ReturnType<typeof makeLayer>;
  beforeEach(async () => {
    folder = await temporaryFolder();
    target = join(folder, 'target');
    mkdirSync(target);
    const pool = new UnpackPool({ workers: 1 });
    onTestFinished(() => pool.close());
    merge = (layers, options) => pool.merge({ layers, targetDir: target }, options);
    layer = (name, ...entries) => makeLayer({ pool, folder, support: { mode: 'copy', reason: 'test' } }, name, entries);
  });

  test('large files arrive whole, and holes stay holes', async () => {
    const large = Buffer.alloc(3 * mebibyte + 17, 'large');
    const sparse = { 'GNU.sparse.size': `${64 * mebibyte}`, 'GNU.sparse.map': `${5 * mebibyte},4` };
    const made = await layer('l', { name: 'large', data: large }, { name: 'sparse', data: 'data', pax: sparse });
    await merge([made]);
    expect(readFileSync(join(target, 'large')).equals(large)).toBe(true);
    const { size, blocks } = statSync(join(target, 'sparse'));
    expect(size).toBe(64 * mebibyte);
    expect(blocks * 512).toBeLessThan(mebibyte);
    expect(readFileSync(join(target, 'sparse')).toString('latin1', 5 * mebibyte, 5 * mebibyte + 6)).toBe('data\0\0');
  });

  test('share nothing with the layers', async () => {
    const made = await layer('l', { name: 'a', data: 'kept' }, { name: 'b', type: '1', link: 'a' });
    await merge([made]);
    expect(statSync(join(target, 'a'))).toMatchObject({ nlink: 2, ino: statSync(join(target, 'b')).ino });
    writeFileSync(join(target, 'b'), 'changed');
    expect(readFileSync(join(target, 'a'), 'utf8')).toBe('changed');
    expect(readFileSync(join(made.dir, 'a'), 'utf8')).toBe('kept');
  });

  test('whiteouts leave nothing on disk in layers that are only copied', async () => {
    const made = await layer('l', { name: '.wh.gone' }, { name: 'd/.wh..wh..opq' });
    expect(made.facts).toMatchObject({ marks: 'none', whiteouts: ['gone'], opaques: ['d'], implied: ['d'] });
    expect(readdirSync(made.dir)).toEqual(['d']);
  });

  test('can be stopped', async () => {
    const made = await layer('l', ...Array.from({ length: 50 }, (_, index) => ({ name: `f${index}`, data: 'x' })));
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(merge([made], { signal })).rejects.toThrow('enough');
  });

  test('progress counts copied bytes up to all of them', async () => {
    const made = await layer('l', { name: 'a', data: 'x'.repeat(1000) });
    const seen: number[] = [];
    await merge([made], { onProgress: (bytes) => seen.push(bytes) });
    expect(seen.every((bytes) => bytes <= 1000)).toBe(true);
  });

  test('a chain that needs no fix-up leaves its directory empty', async () => {
    const base = await layer('base', { name: 'd/', type: '5', mode: 0o755 }, { name: 'd/f' });
    const top = await layer('top', { name: 'd/g' });
    expect(await buildFixUp([base, top], { dir: target, entriesFile: `${target}.entries` })).toBe(false);
    expect(readdirSync(target)).toEqual([]);
  });
});
