import { readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { crc32 } from 'node:zlib';
import { LadingError } from '../lib/errors.ts';
import type { XattrRecord } from '../lib/layer-facts.ts';
import { encodeTimes, lgetxattr, llistxattr, lsetxattr } from '../lib/libc.ts';
import {
  chmodAt,
  chmodFd,
  chownAt,
  chownFd,
  getXattrFd,
  listXattrFd,
  removeXattrFd,
  setTimesAt,
  setTimesFd,
  setXattrFd,
} from '../lib/libc-at.ts';
import { systemError } from '../lib/libc-library.ts';
import type { OverlaySupport } from '../lib/overlay.ts';
import { entryError, hostError, printableName, printableNumber } from './errors.ts';
import type { Timestamp } from './pax.ts';

/**
 * Owner, extended attributes, mode and times (M1 – M3, X1 – X5), always in this order: chown(2) clears setuid, setgid
 * and `security.capability`, and an ACL decides what the group bits of the mode mean.
 */

const { E2BIG, EACCES, EDQUOT, EINVAL, ENOSPC, EOPNOTSUPP, EPERM, ERANGE } = constants.errno;

export const capabilityXattr = 'security.capability';

const droppedXattrs = new Set(['security.selinux', 'security.ima', 'security.evm', 'system.nfs4_acl']);
/** 2^32 − 1 means "leave unchanged" to chown(2), and what is above wraps around, to root first. */
const maxId = 0xffff_fffe;
/** A name or a value that is too long, or a name or a value that the kernel does not understand. */
const unusable: ReadonlySet<number> = new Set([E2BIG, ERANGE, EINVAL]);
/** 2^63 − 1 nanoseconds. */
const maxTime: Timestamp = { sec: 9_223_372_036, nsec: 854_775_807 };

/** @throws LayerError `bad-tar` for ids that no file can have (T3) */
export function checkOwner(entry: string, uid: number, gid: number): void {
  if (uid < 0 || uid > maxId || gid < 0 || gid > maxId) {
    const owner = `${printableNumber(uid)}:${printableNumber(gid)}`;
    throw entryError('bad-tar', entry, `the owner ${owner} is out of range`);
  }
}

/** M3: times that file systems cannot hold become 0. */
export function clampTime({ sec, nsec }: Timestamp): { sec: number; nsec: number } {
  const tooLate = sec > maxTime.sec || (sec === maxTime.sec && nsec > maxTime.nsec);
  return sec < 0 || tooLate ? { sec: 0, nsec: 0 } : { sec, nsec };
}

const encoded = encodeTimes({ sec: 0, nsec: 0 }, { sec: 0, nsec: 0 });

/** atime = mtime. The buffer is used again at the next call. */
function timesBuffer({ sec, nsec }: Timestamp): Buffer {
  // Seconds are below 2^34 here, so that two 32-bit halves are exact and cheaper than BigInt.
  for (const offset of [0, 16]) {
    encoded.writeUInt32LE(sec % 0x1_0000_0000, offset);
    encoded.writeUInt32LE(Math.floor(sec / 0x1_0000_0000), offset + 4);
    encoded.writeUInt32LE(nsec, offset + 8);
  }
  return encoded;
}

/** The kernel gives the first user namespace this inode always (PROC_USER_INIT_INO). */
const initialUserNamespace = 'user:[4026531837]';

/** True in a user namespace, whatever its maps: ids may be unmapped there, and `security.*` may be refused. */
export function inUserNamespace(): boolean {
  try {
    return readlinkSync('/proc/self/ns/user') !== initialUserNamespace;
  } catch {
    return false;
  }
}

/** Sets attributes for one layer and gathers what the host refused. */
export class AttributeSetter {
  readonly #keepUserOverlay: boolean;
  readonly #inUserNamespace = inUserNamespace();
  readonly #warn: (topic: string, text: string) => void;

  /** @param warn called for each refusal; the topic is the same for refusals of one kind */
  constructor(support: OverlaySupport, warn: (topic: string, text: string) => void) {
    // A mount with `userxattr` would obey these, so that only a store which never mounts that way keeps them.
    this.#keepUserOverlay = support.mode === 'overlay' && !support.userxattr;
    this.#warn = warn;
  }

  /** X2: the attributes of an entry that may be set; undefined if there are none. */
  filterXattrs(xattrs: ReadonlyMap<string, Buffer> | undefined): ReadonlyMap<string, Buffer> | undefined {
    if (xattrs === undefined) return undefined;
    const kept = new Map<string, Buffer>();
    for (const [name, value] of xattrs) {
      if (name.startsWith('trusted.') || droppedXattrs.has(name)) continue;
      if (name.startsWith('user.overlay.') && !this.#keepUserOverlay) continue;
      kept.set(name, value);
    }
    return kept.size === 0 ? undefined : kept;
  }

  chownFd(fd: number, entry: string, uid: number, gid: number): void {
    const result = chownFd(fd, uid, gid);
    if (result < 0) throw this.#ownerError(entry, uid, gid, -result);
  }

  chownAt(directory: number, name: string, entry: string, uid: number, gid: number): void {
    const result = chownAt(directory, name, uid, gid);
    if (result < 0) throw this.#ownerError(entry, uid, gid, -result);
  }

  chmodFd(fd: number, entry: string, mode: number): void {
    check(chmodFd(fd, mode), 'chmod', entry);
  }

  chmodAt(directory: number, name: string, entry: string, mode: number): void {
    check(chmodAt(directory, name, mode), 'chmod', entry);
  }

  setTimesFd(fd: number, entry: string, time: Timestamp): void {
    check(setTimesFd(fd, timesBuffer(time)), 'utimensat', entry);
  }

  setTimesAt(directory: number, name: string, entry: string, time: Timestamp): void {
    check(setTimesAt(directory, name, timesBuffer(time)), 'utimensat', entry);
  }

  /** Of an open file or directory. */
  setXattrsFd(fd: number, entry: string, xattrs: ReadonlyMap<string, Buffer>): void {
    for (const [name, value] of xattrs) {
      const result = setXattrFd(fd, name, value);
      if (result < 0) this.#onRefusedXattr(entry, name, -result, { takesUserXattrs: true });
    }
  }

  /** Of anything, a symlink itself included; slower. */
  setXattrsAt(directory: number, name: string, entry: string, xattrs: ReadonlyMap<string, Buffer>): void {
    const path = pathAt(directory, name);
    for (const [attribute, value] of xattrs) {
      try {
        lsetxattr(path, Buffer.from(attribute, 'latin1'), value);
      } catch (error) {
        const errno = -((error as NodeJS.ErrnoException).errno ?? 0);
        this.#onRefusedXattr(entry, attribute, errno, { takesUserXattrs: false });
      }
    }
  }

  /** X3. */
  #onRefusedXattr(entry: string, name: string, errno: number, node: { takesUserXattrs: boolean }): void {
    const refused =
      errno === EOPNOTSUPP ||
      (errno === EPERM && name.startsWith('user.') && !node.takesUserXattrs) ||
      (errno === EPERM && name.startsWith('security.') && this.#inUserNamespace);
    if (!refused) throw this.#xattrError(entry, name, errno);
    this.#warn('xattr', `extended attributes were left out where the host does not take them: ${name} of ${entry}`);
  }

  #xattrError(entry: string, name: string, errno: number): LadingError {
    const cause = systemError(errno, `setxattr ${printableName(name)}`);
    const isAcl = name.startsWith('system.posix_acl_');
    if (isAcl && errno === EINVAL && this.#inUserNamespace) {
      return unmappedIdError(entry, 'its ACL names an id that', cause);
    }
    // Not an ACL at all, or a default one of something that is no directory.
    if (isAcl && (errno === EINVAL || errno === EACCES)) {
      return entryError('bad-tar', entry, `the ACL in ${printableName(name)} is none that this entry can have`);
    }
    if (unusable.has(errno)) {
      return entryError('bad-tar', entry, `no file can have the extended attribute ${printableName(name)} as it is`);
    }
    if (errno === ENOSPC || errno === EDQUOT) {
      return new LadingError('ERR_LADING_UNPACK_IO', `cannot unpack ${printableName(entry)}: ${cause.message}`, {
        cause,
        hint: 'The disk may be full (df); else its file system has no room for so large attributes: ext4 keeps those of a file in one block.',
      });
    }
    return hostError(entry, cause);
  }

  #ownerError(entry: string, uid: number, gid: number, errno: number): LadingError {
    const cause = systemError(errno, 'chown');
    return errno === EINVAL ? unmappedIdError(entry, `its owner ${uid}:${gid}`, cause) : hostError(entry, cause);
  }
}

function unmappedIdError(entry: string, what: string, cause: Error): LadingError {
  return new LadingError(
    'ERR_LADING_UNMAPPED_ID',
    `cannot unpack ${printableName(entry)}: ${what} is not mapped into the user namespace`,
    { cause, hint: 'Add a larger range for your user to /etc/subuid and /etc/subgid, or run as root.' },
  );
}

/** Removes all extended attributes that can be removed, so that nothing is inherited or left from before. */
export function clearXattrs(fd: number, keep: (name: string) => boolean = () => false): void {
  for (const name of listXattrs(fd)) if (!keep(name)) removeXattrFd(fd, name);
}

/** Names of the extended attributes of an open file; none where the file system has no such thing. */
export function listXattrs(fd: number): string[] {
  for (let size = 1024; ; size *= 8) {
    const buffer = Buffer.allocUnsafe(size);
    const length = listXattrFd(fd, buffer);
    if (length === -constants.errno.ERANGE && size <= 65_536) continue;
    if (length <= 0) return [];
    return buffer.toString('latin1', 0, length - 1).split('\0');
  }
}

/** Value of an extended attribute of an open file; undefined if it has none of that name. */
export function getXattr(fd: number, name: string): Buffer | undefined {
  for (let size = 256; ; size *= 16) {
    const buffer = Buffer.allocUnsafe(size);
    const length = getXattrFd(fd, name, buffer);
    if (length === -constants.errno.ERANGE && size <= 65_536) continue;
    return length < 0 ? undefined : buffer.subarray(0, length);
  }
}

/** Extended attributes of one file; none where the file system has no such thing. */
export interface XattrReader {
  names(): string[];
  value(name: string): Buffer | undefined;
}

/** Of an open file or directory. */
export function xattrsOfFd(fd: number): XattrReader {
  return { names: () => listXattrs(fd), value: (name) => getXattr(fd, name) };
}

/** Of anything, a symlink itself included; slower. */
export function xattrsAt(directory: number, name: string): XattrReader {
  const path = pathAt(directory, name);
  const orNone = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch {
      return undefined;
    }
  };
  return {
    names: () => orNone(() => llistxattr(path))?.map((attribute) => attribute.toString('latin1')) ?? [],
    value: (attribute) => orNone(() => lgetxattr(path, Buffer.from(attribute, 'latin1'))),
  };
}

function pathAt(directory: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${directory}/${name}`, 'latin1');
}

/**
 * What there is of these extended attributes, once everything else is set: the kernel adapts an ACL to the mode, and
 * the host may have refused some.
 */
export function recordXattrs(names: Iterable<string>, xattrs: XattrReader): XattrRecord {
  const values = [...names].map((name) => [name, xattrs.value(name)] as const);
  return Object.fromEntries(values.flatMap(([name, value]) => (value ? [[name, checksumOf(value)]] : [])));
}

/** Not labels and the like, which the host sets by itself. */
export function mayBeFromImage(xattr: string): boolean {
  return xattr.startsWith('user.') || xattr.startsWith('system.posix_acl_') || xattr === capabilityXattr;
}

/** CRC-32 in hex. */
export function checksumOf(bytes: Buffer): string {
  return crc32(bytes).toString(16).padStart(8, '0');
}

function check(result: number, call: string, entry: string): void {
  if (result < 0) throw hostError(entry, systemError(-result, call));
}
