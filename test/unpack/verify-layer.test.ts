import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  lchownSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { fileTypes, lgetxattr, lremovexattr, lsetxattr, mknod, utimensat } from '../../src/lib/libc.ts';
import { UnpackPool, verifyLayer } from '../../src/unpack/index.ts';
import { fifoWithLateWriter } from '../support/fifo.ts';
import { type MadeLayer, makeLayer } from '../support/layer-factory.ts';
import type { TarFields } from '../support/tar-builder.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const isRoot = process.getuid?.() === 0;

const nullDevice = 0x103n;

/** A POSIX ACL as the kernel takes it: what the owner, user 1 and the group may do, the mask, and all others. */
function acl(owner: number, named: number, group: number, mask = named, others = 0): Buffer {
  const entries = [
    [0x01, owner],
    [0x02, named],
    [0x04, group],
    [0x10, mask],
    [0x20, others],
  ] as const;
  const buffer = Buffer.alloc(4 + 8 * entries.length);
  buffer.writeUInt32LE(2);
  for (const [index, [tag, permissions]] of entries.entries()) {
    buffer.writeUInt16LE(tag, 4 + 8 * index);
    buffer.writeUInt16LE(permissions, 6 + 8 * index);
    buffer.writeInt32LE(tag === 0x02 ? 1 : -1, 8 + 8 * index);
  }
  return buffer;
}

function succeeds(program: string, ...args: string[]): boolean {
  return spawnSync(program, args).status === 0;
}

const capability = Buffer.from('0100000200040000000000000000000000000000', 'hex');

describe.skipIf(process.platform !== 'linux' || !isRoot)('an unpacked layer (needs root on Linux)', () => {
  let layer: MadeLayer;
  const layerOf = async (folder: string, ...entries: TarFields[]) => {
    const pool = new UnpackPool({ workers: 1 });
    onTestFinished(() => pool.close());
    return makeLayer({ pool, folder, support: { mode: 'overlay', userxattr: false } }, 'layer', entries);
  };
  beforeEach(async () => {
    layer = await layerOf(
      await temporaryFolder(),
      { name: 'd/', type: '5' },
      { name: 'd/f', data: 'content', pax: { mtime: '1500000000.123456789' } },
      { name: 'd/l', type: '2', link: 'f' },
      { name: 'opaque/', type: '5' },
      { name: 'opaque/.wh..wh..opq' },
      { name: '.wh.gone' },
      { name: 'n\xff', data: 'bytes' },
    );
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

  test('is not read to its end when that is no longer wanted', async () => {
    const twoGigabytes = 2 ** 31;
    truncateSync(at('d/f'), twoGigabytes);
    const reason = new Error('no longer wanted');
    const controller = new AbortController();
    setImmediate(() => controller.abort(reason));
    const { signal } = controller;
    const verifying = verifyLayer(layer.dir, layer.entriesFile, { content: true, signal }).next();
    await expect(verifying).rejects.toBe(reason);
  });

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
    [
      'a lost opaque mark',
      () => lremovexattr(at('opaque'), 'trusted.overlay.opaque'),
      /^opaque: xattr "trusted.overlay.opaque" missing, want/,
    ],
    [
      'an opaque mark that is not part of it',
      () => lsetxattr(at('d'), 'trusted.overlay.opaque', Buffer.from('y')),
      /^d: xattr "trusted.overlay.opaque" [0-9a-f]{8}, want none$/,
    ],
    [
      'another mark of overlayfs on an opaque directory',
      () => lsetxattr(at('opaque'), 'trusted.overlay.redirect', Buffer.from('/d')),
      /^opaque: xattr "trusted.overlay.redirect" [0-9a-f]{8}, want none$/,
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
    for (const content of [false, true])
      expect(await findings({ content })).toEqual(expect.arrayContaining([expect.stringMatching(expected)]));
  });

  test('a fifo in the place of a file is found without waiting for a writer', async () => {
    rmSync(at('d/f'));
    const hasWriter = fifoWithLateWriter(at('d/f'));
    expect(await findings({ content: true })).toContain('d/f: fifo, want file');
    expect(hasWriter()).toBe(false);
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

  test.each<[string, (path: string) => void]>([
    ['a fifo', fifoWithLateWriter],
    ['a folder', (path) => mkdirSync(path)],
    ['a symlink', (path) => symlinkSync(`${layer.dir}/d/f`, path)],
    ['a device', (path) => mknod(path, fileTypes.character | 0o644, nullDevice)],
  ])(
    '%s in the place of the record is named, and not read',
    async (_, put) => {
      rmSync(layer.entriesFile);
      put(layer.entriesFile);
      await expect(findings()).rejects.toMatchObject({
        code: 'ERR_LADING_LAYER_DAMAGED',
        message: `the record of its entries is damaged: ${layer.entriesFile} is not a file`,
      });
    },
    5000,
  );

  test('on a file system that holds times in seconds until 2038 is as it was recorded, and other seconds are found', async (context) => {
    const folder = await temporaryFolder();
    const disk = `${folder}/disk`;
    writeFileSync(disk, '');
    truncateSync(disk, 8 * 2 ** 20);
    if (!succeeds('mkfs.ext4', '-q', '-F', '-I', '128', disk)) return context.skip('mkfs.ext4 is not there');
    const mountPoint = `${folder}/mounted`;
    mkdirSync(mountPoint);
    if (!succeeds('mount', '-o', 'loop', disk, mountPoint)) return context.skip('a file cannot be mounted here');
    onTestFinished(() => expect(succeeds('umount', mountPoint)).toBe(true));
    layer = await layerOf(
      mountPoint,
      { name: 'd/', type: '5', pax: { mtime: '1500000000.999999999' } },
      { name: 'd/f', data: 'content', pax: { mtime: '1500000000.123456789' } },
      { name: 'd/l', type: '2', link: 'f', pax: { mtime: '0.5' } },
      { name: 'd/late', pax: { mtime: '4102444800.5' } },
    );
    expect(statSync(at('d/f'), { bigint: true }).mtimeNs).toBe(1_500_000_000_000_000_000n);
    expect(await findings({ content: true })).toEqual([]);
    for (const sec of [1_499_999_999, 1_500_000_001]) {
      utimesSync(at('d/f'), sec, sec);
      expect(await findings()).toEqual([`d/f: time ${sec}000000000, want 1500000000123456789`]);
    }
  });

  test('on one that holds nanoseconds is found without them', async () => {
    utimesSync(at('d/f'), 1_500_000_000, 1_500_000_000);
    expect(await findings()).toEqual(['d/f: time 1500000000000000000, want 1500000000123456789']);
  });

  describe('its extended attributes', () => {
    beforeEach(async () => {
      layer = await layerOf(
        await temporaryFolder(),
        { name: 'plain', data: 'content' },
        { name: 'file', data: 'x', pax: { 'SCHILY.xattr.user.a': '1', 'SCHILY.xattr.user.n\xff': '' } },
        { name: 'capable', mode: 0o755, pax: { 'SCHILY.xattr.security.capability': capability } },
        { name: 'second', type: '1', link: 'capable', mode: 0o755, pax: { 'SCHILY.xattr.user.b': '2' } },
        { name: 'acl', mode: 0o600, pax: { 'SCHILY.xattr.system.posix_acl_access': acl(7, 7, 7) } },
        { name: 'other-mode', mode: 0o600, pax: { 'SCHILY.xattr.system.posix_acl_access': acl(7, 7, 7) } },
        { name: 'linked', type: '1', link: 'other-mode', mode: 0o640 },
        { name: 'd/', type: '5', mode: 0o755, pax: { 'SCHILY.xattr.system.posix_acl_default': acl(7, 5, 0) } },
        { name: 'd/child', mode: 0o644 },
        { name: 'symlink', type: '2', link: 'x', pax: { 'SCHILY.xattr.security.test': 's' } },
        { name: 'fifo', type: '6', mode: 0o644, pax: { 'SCHILY.xattr.system.posix_acl_access': acl(6, 4, 4, 4, 4) } },
        { name: 'opaque/', type: '5', pax: { 'SCHILY.xattr.user.o': 'o' } },
        { name: 'opaque/.wh..wh..opq' },
        { name: 'implied/child' },
        { name: '.wh.gone' },
      );
    });

    test('are as they were recorded', async () => {
      expect(await findings()).toEqual([]);
      expect(await findings({ content: true })).toEqual([]);
    });

    const aclXattr = 'system.posix_acl_access';
    test.each<[string, () => void, unknown[]]>([
      [
        'other values',
        () => {
          lsetxattr(at('file'), 'user.a', Buffer.from('2'));
          lsetxattr(at('symlink'), 'security.test', Buffer.from('t'));
          lsetxattr(at('fifo'), aclXattr, acl(6, 4, 6, 4, 4));
          lsetxattr(at('opaque'), 'trusted.overlay.opaque', Buffer.from('x'));
        },
        [
          'fifo: xattr "system.posix_acl_access" …, want …',
          'file: xattr "user.a" …, want …',
          'opaque: xattr "trusted.overlay.opaque" …, want …',
          'symlink: xattr "security.test" …, want …',
        ],
      ],
      [
        'removed ones, under all names of a file',
        () => {
          lremovexattr(at('second'), 'security.capability');
          lremovexattr(at('d'), 'system.posix_acl_default');
          lremovexattr(at('file'), Buffer.from('user.n\xff', 'latin1'));
        },
        [
          'capable: xattr "security.capability" missing, want …',
          'd: xattr "system.posix_acl_default" missing, want …',
          'file: xattr "user.n\ufffd" missing, want …',
          'second: xattr "security.capability" missing, want …',
        ],
      ],
      [
        'added ones',
        () => {
          lsetxattr(at('plain'), 'user.a', Buffer.from('1'));
          lsetxattr(at('plain'), 'trusted.overlay.metacopy', Buffer.alloc(0));
          lsetxattr(at('d/child'), 'security.capability', capability);
          lsetxattr(at('implied'), 'system.posix_acl_default', acl(7, 5, 0));
          lsetxattr(layer.dir, 'user.a', Buffer.from('1'));
        },
        [
          '.: xattr "user.a" …, want none',
          'd/child: xattr "security.capability" …, want none',
          'implied: xattr "system.posix_acl_default" …, want none',
          expect.stringMatching(/^plain: xattr.*; xattr/),
        ],
      ],
    ])('%s are found', async (_, damage, expected) => {
      damage();
      for (const content of [false, true]) {
        const found = await findings({ content });
        expect(found.map((text) => text.replace(/\b[0-9a-f]{8}\b/g, '…')).sort()).toEqual(expected);
      }
    });

    test('that the host sets by itself are none of it', async () => {
      for (const path of ['plain', 'file', 'd', 'symlink', 'fifo']) {
        lsetxattr(at(path), 'security.selinux', Buffer.from('system_u:object_r:container_t:s0'));
        lsetxattr(at(path), 'security.SMACK64', Buffer.from('_'));
      }
      expect(await findings({ content: true })).toEqual([]);
    });

    test('leave the mode as the entry has it, whatever an ACL says', async () => {
      expect(statSync(at('acl')).mode & 0o7777).toBe(0o600);
      expect(lgetxattr(at('acl'), aclXattr)).toEqual(acl(6, 7, 7, 0, 0));
    });

    test('are not missed in a record of a version that did not note them', async () => {
      const lines = readFileSync(layer.entriesFile, 'utf8').trimEnd().split('\n');
      const older = lines.map((line) => JSON.stringify((JSON.parse(line) as unknown[]).slice(0, 8)));
      writeFileSync(layer.entriesFile, `${older.join('\n')}\n`);
      expect(await findings({ content: true })).toEqual([]);
      lsetxattr(at('plain'), 'user.a', Buffer.from('1'));
      lremovexattr(at('capable'), 'security.capability');
      expect(await findings({ content: true })).toEqual([]);
      lsetxattr(at('d'), 'trusted.overlay.redirect', Buffer.from('/x'));
      lremovexattr(at('opaque'), 'trusted.overlay.opaque');
      expect((await findings()).sort()).toEqual([
        expect.stringMatching(/^d: xattr "trusted.overlay.redirect"/),
        expect.stringMatching(/^opaque: xattr "trusted.overlay.opaque" missing/),
      ]);
    });
  });
});
