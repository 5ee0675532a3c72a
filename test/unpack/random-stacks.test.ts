import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { lgetxattr } from '../../src/lib/libc.ts';
import { mountOverlay, probeOverlay, unmount } from '../../src/lib/overlay.ts';
import { buildFixUp, LayerError, lowerDirectories, UnpackPool, verifyLayer } from '../../src/unpack/index.ts';
import { type MadeLayer, makeLayer } from '../support/layer-factory.ts';
import { applyLayer, ModelError, modelLine, modelTree } from '../support/layer-model.ts';
import type { TarFields } from '../support/tar-builder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

/**
 * Random layers over a few names, so that they meet in every way: replaced types, whiteouts and opaque marks before and
 * after what they hide, implied directories, symlinks as parents, layers that come twice.
 */
const seeds = [1, 2, 3, 4];
const stacksPerSeed = 15;

const isRoot = process.getuid?.() === 0;

describe.skipIf(process.platform !== 'linux' || !isRoot)('random stacks (needs root on Linux)', () => {
  test.each(seeds)('mounting and copying give what the rules say: seed %d', async (seed) => {
    const folder = await temporaryFolder();
    const support = await probeOverlay(folder);
    if (support.mode === 'copy') throw new Error(support.reason);
    const pool = new UnpackPool({ workers: 2 });
    onTestFinished(() => pool.close());
    const random = generator(seed);
    for (let stack = 0; stack < stacksPerSeed; stack++) {
      const dir = mkdtempSync(join(folder, 'stack-'));
      const { layers, entries } = await randomLayers({ pool, folder: dir, support }, random);
      const expected = modelTree(entries);
      for (const { dir: layerDir, entriesFile } of layers) {
        for await (const finding of verifyLayer(layerDir, entriesFile, { content: true }))
          expect(finding).toBeUndefined();
      }
      const [fixUp, mounted, copied] = [join(dir, 'fix-up'), join(dir, 'mounted'), join(dir, 'copied')];
      for (const path of [fixUp, mounted, copied]) mkdirSync(path);
      const entriesFile = `${fixUp}.entries`;
      const needed = await buildFixUp(layers, { dir: fixUp, entriesFile });
      if (needed) for await (const finding of verifyLayer(fixUp, entriesFile)) expect(finding).toBeUndefined();
      mountOverlay({ lowers: lowerDirectories(layers, needed ? fixUp : undefined), target: mounted, support });
      try {
        expect(tree(mounted)).toEqual(expected);
      } finally {
        unmount(mounted);
      }
      await pool.merge({ layers, targetDir: copied });
      expect(tree(copied)).toEqual(expected);
      rmSync(dir, { recursive: true });
    }
  });
});

/** A directory in the lines of the model. Its names are ASCII. */
function tree(root: string): string[] {
  const firstNames = new Map<bigint, string>();
  return namesBelow(root, '').map((name) => {
    const path = join(root, name);
    const stat = lstatSync(path, { bigint: true });
    const first = firstNames.get(stat.ino) ?? name;
    firstNames.set(stat.ino, first);
    const inode = {
      type: stat.isDirectory() ? 'dir' : stat.isSymbolicLink() ? 'symlink' : stat.isFIFO() ? 'fifo' : 'file',
      mode: Number(stat.mode) & 0o7777,
      owner: `${stat.uid}:${stat.gid}`,
      mtime: Number(stat.mtimeNs / 1_000_000_000n),
      content: stat.isSymbolicLink() ? readlinkSync(path) : stat.isFile() ? readFileSync(path, 'utf8') : '',
      xattrs: lgetxattr(path, 'user.x')?.toString() ?? '',
    };
    return modelLine(name, inode, first);
  });
}

/** Sorted as the model sorts; symlinks are not followed. */
function namesBelow(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => {
      const name = join(folder, entry.name);
      return entry.isDirectory() ? [name, ...namesBelow(root, name)] : [name];
    })
    .sort();
}

type Random = (below: number) => number;

function generator(seed: number): Random {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

async function randomLayers(
  where: Parameters<typeof makeLayer>[0],
  random: Random,
): Promise<{ layers: MadeLayer[]; entries: TarFields[][] }> {
  const layers: MadeLayer[] = [];
  const all: TarFields[][] = [];
  const count = 1 + random(5);
  for (let attempt = 0; layers.length < count; attempt++) {
    if (layers.length > 0 && random(8) === 0) {
      const again = random(layers.length);
      layers.push(layers[again]!);
      all.push(all[again]!);
    }
    const entries = Array.from({ length: random(9) }, () => randomEntry(random));
    // Some of them must be refused: a file as parent, a hardlink to nothing.
    const isRefused = isRefusedByModel(entries);
    try {
      layers.push(await makeLayer(where, `layer-${attempt}`, entries));
      all.push(entries);
      expect({ entries, isRefused }).toMatchObject({ isRefused: false });
    } catch (error) {
      if (!(error instanceof LayerError)) throw error;
      expect({ entries, isRefused, error }).toMatchObject({ isRefused: true });
    }
  }
  return { layers, entries: all };
}

function isRefusedByModel(entries: TarFields[]): boolean {
  try {
    applyLayer(entries);
    return false;
  } catch (error) {
    if (error instanceof ModelError) return true;
    throw error;
  }
}

function randomEntry(random: Random): TarFields {
  const pick = <T>(values: readonly T[]): T => values[random(values.length)]!;
  const parents = Array.from({ length: random(3) }, () => `${pick(['a', 'b', 'c'])}/`).join('');
  const base = pick(['a', 'b', 'c']);
  const name = parents + base;
  const attributes = {
    mode: pick([0o755, 0o700, 0o1777, 0o640]),
    uid: random(3),
    gid: random(3),
    mtime: 1_000_000_000 + random(1000),
    ...(random(5) === 0 ? { pax: { 'SCHILY.xattr.user.x': `${random(9)}` } } : {}),
  };
  switch (random(11)) {
    case 0:
    case 1:
    case 2:
      return { name, data: `${random(1000)}`, ...attributes };
    case 3:
    case 4:
    case 5:
      return { name: `${name}/`, type: '5', ...attributes };
    case 6:
      return { name, ...attributes, type: '2', link: pick(['a', '../b', '/c', 'b/c', '.']), pax: {} };
    case 7:
      return { name, ...attributes, type: '1', link: pick(['a', 'b/a', 'c/b/a']), pax: {} };
    case 8:
      return { name: `${parents}.wh.${base}` };
    case 9:
      return { name: random(10) === 0 ? '.wh..wh..opq' : `${name}/.wh..wh..opq` };
    default:
      return random(2) === 0 ? { name, type: '3', device: [0, 0] } : { name, ...attributes, type: '6', pax: {} };
  }
}
