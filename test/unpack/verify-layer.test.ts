import {
  chmodSync,
  lchownSync,
  mkdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { lremovexattr, lsetxattr, utimensat } from '../../src/lib/libc.ts';
import { UnpackPool, verifyLayer } from '../../src/unpack/index.ts';
import { type MadeLayer, makeLayer } from '../support/layer-factory.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;

describe.skipIf(process.platform !== 'linux' || !isRoot)('an unpacked layer (needs root on Linux)', () => {
  let layer: MadeLayer;
  beforeEach(async () => {
    const folder = await temporaryFolder();
    const pool = new UnpackPool({ workers: 1 });
    onTestFinished(() => pool.close());
    layer = await makeLayer({ pool, folder, support: { mode: 'overlay', userxattr: false } }, 'layer', [
      { name: 'd/', type: '5' },
      { name: 'd/f', data: 'content', pax: { mtime: '1500000000.123456789' } },
      { name: 'd/l', type: '2', link: 'f' },
      { name: 'opaque/', type: '5' },
      { name: 'opaque/.wh..wh..opq' },
      { name: '.wh.gone' },
      { name: 'n\xff', data: 'bytes' },
    ]);
  });

  const findings = async (options?: { content: boolean }) => {
    const found: string[] = [];
    for await (const { path, problem } of verifyLayer(layer.dir, layer.entriesFile, options))
      found.push(`${path}: ${problem}`);
    return found;
  };
  const at = (path: string) => join(layer.dir, path);
  const restoreTimes = (path: string) => {
    const time = { sec: 1_500_000_000, nsec: 123_456_789 };
    utimensat(-100, at(path), { atime: time, mtime: time });
  };

  test('is as it was recorded', async () => {
    expect(await findings({ content: true })).toEqual([]);
  });

  test.each<[string, () => void, RegExp]>([
    ['a missing file', () => rmSync(at('d/f')), /^d\/f: missing$/],
    ['a missing directory', () => rmSync(at('d'), { recursive: true }), /^d: missing$/],
    ['a file that is not part of it', () => writeFileSync(at('extra'), ''), /^extra: not part of the layer$/],
    ['a mode', () => chmodSync(at('d/f'), 0o600), /^d\/f: mode 0600, want 0644$/],
    ['an owner', () => lchownSync(at('d/l'), 7, 8), /^d\/l: owner 7:8, want 0:0$/],
    ['a size', () => truncateSync(at('d/f'), 3), /^d\/f: size 3, want 7/],
    ['a time', () => utimesSync(at('d'), 5, 5), /^d: time 5000000000, want 1500000000000000000$/],
    [
      'a type',
      () => {
        rmSync(at('d/l'));
        mkdirSync(at('d/l'));
      },
      /^d\/l: dir, want symlink$/,
    ],
    [
      'a symlink target',
      () => {
        rmSync(at('d/l'));
        symlinkSync('g', at('d/l'));
      },
      /^d\/l: .*content g, want f$/,
    ],
    [
      'a lost whiteout',
      () => {
        rmSync(at('gone'));
        writeFileSync(at('gone'), '');
      },
      /^gone: file, want a whiteout$/,
    ],
    ['a lost opaque mark', () => lremovexattr(at('opaque'), 'trusted.overlay.opaque'), /^opaque: content not opaque/],
    [
      'an opaque mark that is not part of it',
      () => lsetxattr(at('d'), 'trusted.overlay.opaque', Buffer.from('y')),
      /^d: content trusted.overlay.opaque, want $/,
    ],
    [
      'another mark of overlayfs on an opaque directory',
      () => lsetxattr(at('opaque'), 'trusted.overlay.redirect', Buffer.from('/d')),
      /^opaque: content trusted.overlay.redirect, want trusted.overlay.opaque$/,
    ],
    ['another mode of the root', () => chmodSync(layer.dir, 0o777), /^\.: mode 0777, want 0755$/],
    [
      'a directory that became a symlink',
      () => {
        renameSync(at('d'), `${layer.dir}-moved`);
        symlinkSync(`${layer.dir}-moved`, at('d'));
      },
      /^d: missing$/,
    ],
  ])('%s is found', async (_, damage, expected) => {
    damage();
    expect(await findings()).toEqual(expect.arrayContaining([expect.stringMatching(expected)]));
  });

  test('changed bytes are found when content is asked for', async () => {
    writeFileSync(at('d/f'), 'CONTENT');
    restoreTimes('d/f');
    expect(await findings()).toEqual([]);
    expect(await findings({ content: true })).toEqual([
      expect.stringMatching(/^d\/f: content [0-9a-f]{8}, want [0-9a-f]{8}$/),
    ]);
  });

  test.each(['["d/f","fi', 'null', '["d/f","file"]', '{"path":"d/f"}'])(
    'a record with a line %s is named',
    async (line) => {
      writeFileSync(layer.entriesFile, `["d"]\n${line}`);
      await expect(findings()).rejects.toMatchObject({
        code: 'ERR_LADING_LAYER_DAMAGED',
        message: `the record of its entries is damaged: line 2 of ${layer.entriesFile}`,
        hint: expect.stringContaining('lading check --repair'),
      });
    },
  );
});
