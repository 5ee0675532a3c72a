import { constants } from 'node:os';
import { checked, cString, lastErrno, libcFunction, type PathBytes, systemError } from './libc-library.ts';

/**
 * The mount API of Linux 5.2 and newer (fsopen, fsconfig, fsmount, move_mount, mount_setattr), by system call number:
 * C libraries export these functions only since glibc 2.36. The numbers are the same on all architectures.
 */

const systemCalls = { moveMount: 429, fsopen: 430, fsconfig: 431, fsmount: 432, mountSetattr: 442 } as const;
const emptyPathMove = 0x4;
const readOnlyAttribute = 0x1;
const atCwd = -100;

const calls = {
  fsopen: libcFunction('int64_t syscall(int64_t, const void *, int64_t)'),
  fsconfig: libcFunction('int64_t syscall(int64_t, int64_t, int64_t, const void *, const void *, int64_t)'),
  fsmount: libcFunction('int64_t syscall(int64_t, int64_t, int64_t, int64_t)'),
  moveMount: libcFunction('int64_t syscall(int64_t, int64_t, const void *, int64_t, const void *, int64_t)'),
  mountSetattr: libcFunction('int64_t syscall(int64_t, int64_t, const void *, int64_t, const void *, int64_t)'),
  close: libcFunction('int close(int)'),
};

/** A file system being configured. Close it when done; what was attached stays mounted. */
export interface FileSystemContext {
  /** Sets a flag (no value) or a string of less than 256 bytes. @throws Error what the kernel says */
  set(key: string, value?: string): void;
  /** Makes the file system and attaches it at `target`. */
  mountAt(target: PathBytes): void;
  close(): void;
}

/** @throws Error ENOSYS on kernels without this API, EPERM in sandboxes that forbid it, ENODEV for an unknown type */
export function openFileSystem(type: string): FileSystemContext {
  const closeOnExec = 1;
  const context = checked(calls.fsopen(systemCalls.fsopen, cString(type), closeOnExec), 'fsopen', type);
  const configure = (command: number, key: string | null, value: string | null) => {
    const name = key === null ? null : cString(key);
    const text = value === null ? null : cString(value);
    const result = calls.fsconfig(systemCalls.fsconfig, context, command, name, text, 0);
    checked(result, 'fsconfig', value ?? key ?? type);
  };
  return {
    set(key, value) {
      if (value === undefined) configure(0, key, null);
      else configure(1, key, value);
    },
    mountAt(target) {
      configure(6, null, null);
      const mounted = checked(calls.fsmount(systemCalls.fsmount, context, closeOnExec, 0), 'fsmount', target);
      const path = cString(target);
      const moved = calls.moveMount(systemCalls.moveMount, mounted, cString(''), atCwd, path, emptyPathMove);
      const errno = moved < 0 ? lastErrno() : 0;
      calls.close(mounted);
      if (errno !== 0) throw systemError(errno, 'move_mount', target);
    },
    close() {
      calls.close(context);
    },
  };
}

/**
 * Makes the mount at `target` read-only and leaves its other flags as they are, which a remount cannot do in a user
 * namespace. Linux ≥ 5.12. @throws Error ENOSYS on older kernels
 */
export function setMountReadOnly(target: PathBytes): void {
  const attributes = BigUint64Array.of(BigInt(readOnlyAttribute), 0n, 0n, 0n);
  const result = calls.mountSetattr(
    systemCalls.mountSetattr,
    atCwd,
    cString(target),
    0,
    attributes,
    attributes.byteLength,
  );
  checked(result, 'mount_setattr', target);
}

/** True for the errors with which a kernel or a sandbox says that it does not offer a system call. */
export function isNotOffered(error: unknown): boolean {
  const errno = -((error as NodeJS.ErrnoException).errno ?? 0);
  return errno === constants.errno.ENOSYS || errno === constants.errno.EPERM || errno === constants.errno.EINVAL;
}
