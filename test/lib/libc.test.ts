import {
  closeSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  atCwd,
  fileTypes,
  lgetxattr,
  linkat,
  llistxattr,
  lremovexattr,
  lsetxattr,
  makeDevice,
  mkfifo,
  mknod,
  mount,
  splitDevice,
  syncfs,
  tryFlock,
  umount2,
  unlockFlock,
  utimensat,
} from '../../src/lib/libc.ts';

const isRoot = process.getuid?.() === 0;

describe.skipIf(process.platform !== 'linux')('libc', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'lading-libc-'));
  });
  afterEach(() => {
    rmSync(dir, { recursive: true, force: true });
  });

  test('failures look like those of node:fs', () => {
    expect(() => umount2(join(dir, 'nothing'))).toThrow(
      expect.objectContaining({ code: 'ENOENT', errno: -2, syscall: 'umount2', path: join(dir, 'nothing') }),
    );
  });

  test('a name that holds a NUL is refused instead of being cut', () => {
    expect(() => mkfifo(Buffer.from(`${dir}/a\0b`), 0o600)).toThrow(expect.objectContaining({ code: 'EINVAL' }));
  });

  test('mount options that the kernel would cut off are refused', () => {
    expect(() => mount('none', dir, 'tmpfs', 0, 'x'.repeat(4096))).toThrow(expect.objectContaining({ code: 'E2BIG' }));
  });

  test('times keep their nanoseconds, also before 1970 and on symlinks', () => {
    const link = join(dir, 'link');
    symlinkSync('nowhere', link);
    utimensat(atCwd, link, { atime: { sec: 1, nsec: 2 }, mtime: { sec: 1_700_000_000, nsec: 123_456_789 } });
    const times = readTimes(link);
    expect(times).toEqual({ atimeNs: 1_000_000_002n, mtimeNs: 1_700_000_000_123_456_789n });
    utimensat(atCwd, link, { atime: { sec: 0, nsec: 0 }, mtime: { sec: -5, nsec: 0 } });
    expect(readTimes(link).mtimeNs).toBe(-5_000_000_000n);
  });

  test('extended attributes are bytes', () => {
    const file = join(dir, 'file');
    writeFileSync(file, '');
    const value = Buffer.from([0, 255, 10, 61]);
    try {
      lsetxattr(file, 'user.lading', value);
    } catch (error) {
      expect(error).toMatchObject({ code: 'EOPNOTSUPP' });
      return;
    }
    lsetxattr(file, 'user.large', Buffer.alloc(3000, 1));
    expect(lgetxattr(file, 'user.lading')).toEqual(value);
    expect(lgetxattr(file, 'user.large')?.byteLength).toBe(3000);
    expect(lgetxattr(file, 'user.none')).toBeUndefined();
    expect(llistxattr(file).map(String).sort()).toEqual(expect.arrayContaining(['user.lading', 'user.large']));
    lremovexattr(file, 'user.lading');
    expect(lgetxattr(file, 'user.lading')).toBeUndefined();
  });

  test('fifos, links and locks', async () => {
    const fifo = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from([0xff])]);
    mkfifo(fifo, 0o600);
    expect(statSync(fifo).isFIFO()).toBe(true);
    const file = join(dir, 'file');
    writeFileSync(file, 'x');
    linkat(atCwd, file, atCwd, join(dir, 'second'));
    expect(readFileSync(join(dir, 'second'), 'utf8')).toBe('x');

    const first = openSync(file, 'r');
    const second = openSync(file, 'r');
    try {
      expect(tryFlock(first, 'exclusive')).toBe(true);
      expect(tryFlock(second, 'exclusive')).toBe(false);
      unlockFlock(first);
      expect(tryFlock(second, 'shared')).toBe(true);
      await syncfs(first);
    } finally {
      closeSync(first);
      closeSync(second);
    }
    await expect(syncfs(first)).rejects.toMatchObject({ code: 'EBADF', syscall: 'syncfs' });
  });

  test('device numbers survive their encoding', () => {
    for (const [major, minor] of [
      [0, 0],
      [5, 1],
      [4095, 1_048_575],
      [259, 300],
    ] as const) {
      expect(splitDevice(makeDevice(major, minor))).toEqual({ major, minor });
    }
  });

  test.skipIf(!isRoot)('device nodes', () => {
    const node = join(dir, 'node');
    mknod(node, fileTypes.character | 0o600, makeDevice(259, 300));
    expect(splitDevice(statSync(node, { bigint: true }).rdev)).toEqual({ major: 259, minor: 300 });
  });
});

function readTimes(path: string): { atimeNs: bigint; mtimeNs: bigint } {
  const { atimeNs, mtimeNs } = lstatSync(path, { bigint: true });
  return { atimeNs, mtimeNs };
}
