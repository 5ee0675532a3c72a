import {
  checked,
  cString,
  hasLibcFunction,
  libcFunction,
  libcFunctionAsync,
  type PathBytes,
  systemError,
} from './libc-library.ts';

/**
 * System calls that Node lacks, on paths and descriptors. Each throws an error like those of `node:fs` (`code`,
 * `errno`, `syscall`, `path`). Names are bytes: Buffers pass through unchanged, strings are UTF-8. Linux only;
 * elsewhere the first call throws `ERR_LADING_LINUX_ONLY`.
 */

/** Flags of mount(2). */
export const mountFlags = {
  readOnly: 0x1,
  noSuid: 0x2,
  noDev: 0x4,
  noExec: 0x8,
  remount: 0x20,
  noAtime: 0x400,
  bind: 0x1000,
  move: 0x2000,
  recursive: 0x4000,
  silent: 0x8000,
  unbindable: 1 << 17,
  private: 1 << 18,
  slave: 1 << 19,
  shared: 1 << 20,
  relAtime: 1 << 21,
  strictAtime: 1 << 24,
} as const;

/** Flags of umount2(2). */
export const unmountFlags = { force: 1, detach: 2, expire: 4, noFollow: 8 } as const;

/** File types in a mode, for mknod. */
export const fileTypes = {
  fifo: 0o010000,
  character: 0o020000,
  directory: 0o040000,
  block: 0o060000,
  regular: 0o100000,
  symlink: 0o120000,
  mask: 0o170000,
} as const;

/** The directory argument that means "relative to the working directory" (or an absolute path). */
export const atCwd = -100;
export const atSymlinkNoFollow = 0x100;
const atSymlinkFollow = 0x400;

/** A point in time for utimensat: whole seconds since 1970 and 0 … 999,999,999 nanoseconds. */
export interface Timespec {
  readonly sec: number | bigint;
  readonly nsec: number;
}

const calls = {
  mount: libcFunction('int mount(const void *, const void *, const void *, uint64_t, const void *)'),
  umount2: libcFunction('int umount2(const void *, int)'),
  mknodat: libcFunction('int mknodat(int, const void *, uint32_t, uint64_t)'),
  xmknodat: libcFunction('int __xmknodat(int, int, const void *, uint32_t, const uint64_t *)'),
  lsetxattr: libcFunction('int lsetxattr(const void *, const void *, const void *, size_t, int)'),
  lgetxattr: libcFunction('int64_t lgetxattr(const void *, const void *, void *, size_t)'),
  llistxattr: libcFunction('int64_t llistxattr(const void *, void *, size_t)'),
  lremovexattr: libcFunction('int lremovexattr(const void *, const void *)'),
  utimensat: libcFunction('int utimensat(int, const void *, const void *, int)'),
  linkat: libcFunction('int linkat(int, const void *, int, const void *, int)'),
  flock: libcFunction('int flock(int, int)'),
  syncfs: libcFunctionAsync('int syncfs(int)'),
};

/**
 * mount(2). `data` is cut off by the kernel after 4,095 bytes, so longer data is refused here.
 * @throws Error E2BIG for data that is too long, else what the kernel says
 */
export function mount(
  source: PathBytes | undefined,
  target: PathBytes,
  type: string | undefined,
  flags: number,
  data?: PathBytes,
): void {
  const options = data === undefined ? null : cString(data);
  if (options && options.byteLength > 4096) throw systemError(7, 'mount', target);
  const result = calls.mount(
    source === undefined ? null : cString(source),
    cString(target),
    type === undefined ? null : cString(type),
    flags,
    options,
  );
  checked(result, 'mount', target);
}

/** umount2(2). */
export function umount2(target: PathBytes, flags = 0): void {
  checked(calls.umount2(cString(target), flags), 'umount2', target);
}

/** Linux's encoding of a device number: 12 bits major, 20 bits minor. */
export function makeDevice(major: number, minor: number): bigint {
  return (
    (BigInt(major & 0xfff) << 8n) |
    (BigInt(major & ~0xfff) << 32n) |
    BigInt(minor & 0xff) |
    (BigInt(minor & ~0xff) << 12n)
  );
}

/** Splits a device number as stat reports it. */
export function splitDevice(device: bigint): { major: number; minor: number } {
  return {
    major: Number(((device >> 8n) & 0xfffn) | ((device >> 32n) & 0xfffff000n)),
    minor: Number((device & 0xffn) | ((device >> 12n) & 0xffffff00n)),
  };
}

let mknodatExported: boolean | undefined;

/** mknodat(2); `mode` carries the file type (`fileTypes`) and is cut by the umask. */
export function mknodat(directory: number, path: PathBytes, mode: number, device = 0n): void {
  mknodatExported ??= hasLibcFunction('int mknodat(int, const void *, uint32_t, uint64_t)');
  const name = cString(path);
  const result = mknodatExported
    ? calls.mknodat(directory, name, mode, device)
    : calls.xmknodat(0, directory, name, mode, BigUint64Array.of(device));
  checked(result, 'mknod', path);
}

/** mknod(2). */
export function mknod(path: PathBytes, mode: number, device = 0n): void {
  mknodat(atCwd, path, mode, device);
}

/** Makes a FIFO; `mode` holds the permission bits, cut by the umask. */
export function mkfifo(path: PathBytes, mode: number): void {
  mknodat(atCwd, path, fileTypes.fifo | (mode & 0o7777));
}

/** Sets an extended attribute, of the symlink itself if `path` is one. */
export function lsetxattr(path: PathBytes, name: PathBytes, value: Uint8Array): void {
  checked(calls.lsetxattr(cString(path), cString(name), value, value.byteLength, 0), 'lsetxattr', path);
}

/** Value of an extended attribute, never following a symlink; undefined if there is none of that name (ENODATA). */
export function lgetxattr(path: PathBytes, name: PathBytes): Buffer | undefined {
  const file = cString(path);
  const attribute = cString(name);
  try {
    return readGrowing((buffer) =>
      checked(calls.lgetxattr(file, attribute, buffer, buffer.byteLength), 'lgetxattr', path),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENODATA') return undefined;
    throw error;
  }
}

/** Names of the extended attributes, never following a symlink. Names are bytes. */
export function llistxattr(path: PathBytes): Buffer[] {
  const file = cString(path);
  return splitAtNul(
    readGrowing((buffer) => checked(calls.llistxattr(file, buffer, buffer.byteLength), 'llistxattr', path)),
  );
}

/** Removes an extended attribute; ENODATA if it is not there. */
export function lremovexattr(path: PathBytes, name: PathBytes): void {
  checked(calls.lremovexattr(cString(path), cString(name)), 'lremovexattr', path);
}

/** Calls an xattr function that reports ERANGE with ever larger buffers (64 KiB is the kernel's own limit). */
export function readGrowing(read: (buffer: Buffer) => number): Buffer {
  for (let size = 256; ; size *= 16) {
    const buffer = Buffer.allocUnsafe(size);
    try {
      return buffer.subarray(0, read(buffer));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERANGE' || size > 65_536) throw error;
    }
  }
}

export function splitAtNul(list: Buffer): Buffer[] {
  const names: Buffer[] = [];
  for (let start = 0; start < list.byteLength; ) {
    const end = list.indexOf(0, start);
    const stop = end === -1 ? list.byteLength : end;
    names.push(Buffer.from(list.subarray(start, stop)));
    start = stop + 1;
  }
  return names;
}

/** atime and mtime as the kernel's two timespecs. */
export function encodeTimes(atime: Timespec, mtime: Timespec): Buffer {
  const buffer = Buffer.allocUnsafe(32);
  buffer.writeBigInt64LE(BigInt(atime.sec), 0);
  buffer.writeBigInt64LE(BigInt(atime.nsec), 8);
  buffer.writeBigInt64LE(BigInt(mtime.sec), 16);
  buffer.writeBigInt64LE(BigInt(mtime.nsec), 24);
  return buffer;
}

/** Sets both times to the nanosecond, of the symlink itself if `path` is one. Times before 1970 are allowed. */
export function utimensat(directory: number, path: PathBytes, times: { atime: Timespec; mtime: Timespec }): void {
  const encoded = encodeTimes(times.atime, times.mtime);
  checked(calls.utimensat(directory, cString(path), encoded, atSymlinkNoFollow), 'utimensat', path);
}

/** linkat(2): a second name for `from`; a symlink itself is linked unless `followSymlink`. */
export function linkat(
  fromDirectory: number,
  from: PathBytes,
  toDirectory: number,
  to: PathBytes,
  options: { followSymlink?: boolean } = {},
): void {
  const flags = options.followSymlink ? atSymlinkFollow : 0;
  checked(calls.linkat(fromDirectory, cString(from), toDirectory, cString(to), flags), 'linkat', to);
}

/**
 * Writes everything of the file system that holds `fd` to stable storage, off the main thread. Errors of writeback
 * since `fd` was opened are reported (Linux ≥ 5.8), so open it before writing. Never retry after a failure.
 */
export async function syncfs(fd: number): Promise<void> {
  const result = await calls.syncfs(fd);
  if (result < 0) throw systemError(-result, 'syncfs');
}

/**
 * Tries to take an flock(2) lock on an open file; the kernel drops it with the descriptor or the process. Never
 * waits: false if somebody else holds it.
 */
export function tryFlock(fd: number, kind: 'exclusive' | 'shared'): boolean {
  const nonBlocking = 4;
  try {
    checked(calls.flock(fd, (kind === 'exclusive' ? 2 : 1) | nonBlocking), 'flock');
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EAGAIN' || code === 'EWOULDBLOCK') return false;
    throw error;
  }
}

/** Gives a lock taken with `tryFlock` back. */
export function unlockFlock(fd: number): void {
  checked(calls.flock(fd, 8), 'flock');
}
