import { constants as fsConstants } from 'node:fs';
import { lastErrno, libcFunction } from './libc-library.ts';

/**
 * System calls relative to an open directory, for code that makes many calls: nothing here throws or allocates. A
 * negative result is −errno. Names are byte strings: one character per byte (latin1), never with a NUL.
 */

export const openFlags = {
  readOnly: fsConstants.O_RDONLY,
  writeOnly: fsConstants.O_WRONLY,
  create: fsConstants.O_CREAT,
  exclusive: fsConstants.O_EXCL,
  directory: fsConstants.O_DIRECTORY,
  noFollow: fsConstants.O_NOFOLLOW,
  nonBlock: fsConstants.O_NONBLOCK,
  closeOnExec: 0o2000000,
  pathOnly: 0o10000000,
} as const;

const atRemoveDirectory = 0x200;
const atSymlinkNoFollow = 0x100;

const calls = {
  openat: libcFunction('int openat(int, const void *, int, uint32_t)'),
  openat2: libcFunction('int64_t syscall(int64_t, int64_t, const void *, const void *, int64_t)'),
  close: libcFunction('int close(int)'),
  mkdirat: libcFunction('int mkdirat(int, const void *, uint32_t)'),
  unlinkat: libcFunction('int unlinkat(int, const void *, int)'),
  symlinkat: libcFunction('int symlinkat(const void *, int, const void *)'),
  linkat: libcFunction('int linkat(int, const void *, int, const void *, int)'),
  fchown: libcFunction('int fchown(int, uint32_t, uint32_t)'),
  fchownat: libcFunction('int fchownat(int, const void *, uint32_t, uint32_t, int)'),
  fchmod: libcFunction('int fchmod(int, uint32_t)'),
  fchmodat: libcFunction('int fchmodat(int, const void *, uint32_t, int)'),
  futimens: libcFunction('int futimens(int, const void *)'),
  utimensat: libcFunction('int utimensat(int, const void *, const void *, int)'),
  write: libcFunction('int64_t write(int, const void *, size_t)'),
  pwrite: libcFunction('int64_t pwrite(int, const void *, size_t, int64_t)'),
  ftruncate: libcFunction('int ftruncate(int, int64_t)'),
  fsetxattr: libcFunction('int fsetxattr(int, const void *, const void *, size_t, int)'),
  fgetxattr: libcFunction('int64_t fgetxattr(int, const void *, void *, size_t)'),
  flistxattr: libcFunction('int64_t flistxattr(int, void *, size_t)'),
  fremovexattr: libcFunction('int fremovexattr(int, const void *)'),
  readlinkat: libcFunction('int64_t readlinkat(int, const void *, void *, size_t)'),
  lseek: libcFunction('int64_t lseek(int, int64_t, int)'),
  ioctl: libcFunction('int ioctl(int, uint64_t, int64_t)'),
  copyFileRange: libcFunction('int64_t copy_file_range(int, void *, int, void *, size_t, uint32_t)'),
};

/** Two reusable NUL-terminated names: calls are synchronous, so no two need them at once. */
const firstName = Buffer.alloc(8192);
const secondName = Buffer.alloc(8192);

function put(buffer: Buffer, name: string): Buffer {
  const length = buffer.write(name, 0, 8191, 'latin1');
  buffer[length] = 0;
  return buffer;
}

function settle(result: number): number {
  return result < 0 ? -lastErrno() : result;
}

/** Descriptor or −errno. Always close-on-exec. */
export function openAt(directory: number, name: string, flags: number, mode = 0): number {
  return settle(calls.openat(directory, put(firstName, name), flags | openFlags.closeOnExec, mode));
}

/**
 * Opens a path of several components below `directory` without following any symlink and without ever leaving it.
 * Descriptor or −errno: ELOOP for a symlink on the way, ENOSYS on kernels before 5.6.
 */
export function openBeneath(directory: number, path: string, flags: number): number {
  const noMagicLinks = 2n;
  const noSymlinks = 4n;
  const beneath = 8n;
  openHow[0] = BigInt(flags | openFlags.closeOnExec);
  openHow[2] = noMagicLinks | noSymlinks | beneath;
  return settle(calls.openat2(437, directory, put(firstName, path), openHow, openHow.byteLength));
}
const openHow = new BigUint64Array(3);

export function closeFd(fd: number): void {
  calls.close(fd);
}

export function mkdirAt(directory: number, name: string, mode: number): number {
  return settle(calls.mkdirat(directory, put(firstName, name), mode));
}

export function unlinkAt(directory: number, name: string): number {
  return settle(calls.unlinkat(directory, put(firstName, name), 0));
}

export function removeDirectoryAt(directory: number, name: string): number {
  return settle(calls.unlinkat(directory, put(firstName, name), atRemoveDirectory));
}

export function symlinkAt(target: string, directory: number, name: string): number {
  return settle(calls.symlinkat(put(secondName, target), directory, put(firstName, name)));
}

/** A second name; a symlink itself is linked, not what it points to. */
export function linkAt(fromDirectory: number, from: string, directory: number, name: string): number {
  return settle(calls.linkat(fromDirectory, put(secondName, from), directory, put(firstName, name), 0));
}

export function chownFd(fd: number, uid: number, gid: number): number {
  return settle(calls.fchown(fd, uid, gid));
}

/** Of the symlink itself if `name` is one. */
export function chownAt(directory: number, name: string, uid: number, gid: number): number {
  return settle(calls.fchownat(directory, put(firstName, name), uid, gid, atSymlinkNoFollow));
}

export function chmodFd(fd: number, mode: number): number {
  return settle(calls.fchmod(fd, mode));
}

/** Follows a symlink: only for names that are known to be none. */
export function chmodAt(directory: number, name: string, mode: number): number {
  return settle(calls.fchmodat(directory, put(firstName, name), mode, 0));
}

/** `times` as made by `encodeTimes`. */
export function setTimesFd(fd: number, times: Uint8Array): number {
  return settle(calls.futimens(fd, times));
}

/** Of the symlink itself if `name` is one. */
export function setTimesAt(directory: number, name: string, times: Uint8Array): number {
  return settle(calls.utimensat(directory, put(firstName, name), times, atSymlinkNoFollow));
}

/** Writes all bytes at the file's position. 0 or −errno. */
export function writeAll(fd: number, bytes: Uint8Array): number {
  let rest = bytes;
  while (rest.byteLength > 0) {
    const written = settle(calls.write(fd, rest, rest.byteLength));
    if (written < 0) return written;
    rest = rest.subarray(written);
  }
  return 0;
}

/** Writes all bytes at `position`. 0 or −errno. */
export function writeAllAt(fd: number, bytes: Uint8Array, position: number): number {
  let rest = bytes;
  let at = position;
  while (rest.byteLength > 0) {
    const written = settle(calls.pwrite(fd, rest, rest.byteLength, at));
    if (written < 0) return written;
    rest = rest.subarray(written);
    at += written;
  }
  return 0;
}

export function truncateFd(fd: number, size: number): number {
  return settle(calls.ftruncate(fd, size));
}

export function setXattrFd(fd: number, name: string, value: Uint8Array): number {
  return settle(calls.fsetxattr(fd, put(firstName, name), value, value.byteLength, 0));
}

/** Length of the value put into `buffer`, or −errno (ERANGE if the buffer is too small). */
export function getXattrFd(fd: number, name: string, buffer: Uint8Array): number {
  return settle(calls.fgetxattr(fd, put(firstName, name), buffer, buffer.byteLength));
}

export function listXattrFd(fd: number, buffer: Uint8Array): number {
  return settle(calls.flistxattr(fd, buffer, buffer.byteLength));
}

export function removeXattrFd(fd: number, name: string): number {
  return settle(calls.fremovexattr(fd, put(firstName, name)));
}

/** Length of the target put into `buffer`, or −errno. An empty name means the symlink that `directory` is. */
export function readLinkAt(directory: number, name: string, buffer: Uint8Array): number {
  return settle(calls.readlinkat(directory, put(firstName, name), buffer, buffer.byteLength));
}

/** Start of the next data at or after `offset`; −ENXIO if there is only a hole left. */
export function seekData(fd: number, offset: number): number {
  return settle(calls.lseek(fd, offset, 3));
}

/** Start of the next hole at or after `offset`; the end of the file counts as one. */
export function seekHole(fd: number, offset: number): number {
  return settle(calls.lseek(fd, offset, 4));
}

/** Shares the blocks of a whole file where the file system can (FICLONE). 0 or −errno. */
export function cloneFile(fromFd: number, toFd: number): number {
  return settle(calls.ioctl(toFd, 0x40049409, fromFd));
}

/** Copies inside the kernel, at the same offsets on both sides. Bytes copied, or −errno. */
export function copyRange(fromFd: number, toFd: number, offset: number, length: number): number {
  rangeFrom[0] = BigInt(offset);
  rangeTo[0] = BigInt(offset);
  return settle(calls.copyFileRange(fromFd, rangeFrom, toFd, rangeTo, length, 0));
}
const rangeFrom = new BigInt64Array(1);
const rangeTo = new BigInt64Array(1);
