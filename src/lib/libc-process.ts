import { constants } from 'node:os';
import { checked, cString, libcFunction, type PathBytes } from './libc-library.ts';

/**
 * System calls about the calling process that Node lacks: pipes, roots, capabilities, and becoming another program.
 * Each throws an error like those of `node:fs`. Most of them change the process for good: they are for child processes
 * that turn themselves into something else, on their main thread.
 */

const calls = {
  pipe2: libcFunction('int pipe2(void *, int)'),
  chroot: libcFunction('int chroot(const void *)'),
  pivotRoot: libcFunction('int pivot_root(const void *, const void *)'),
  sethostname: libcFunction('int sethostname(const void *, size_t)'),
  prctl: libcFunction('int prctl(int, uint64_t, uint64_t, uint64_t, uint64_t)'),
  capset: libcFunction('int capset(const void *, const void *)'),
  signal: libcFunction('void *signal(int, void *)'),
  sigprocmask: libcFunction('int sigprocmask(int, const void *, void *)'),
  fcntl: libcFunction('int fcntl(int, int, ...)'),
  setsid: libcFunction('int setsid()'),
  keyctl: libcFunction('int64_t syscall(int64_t, int64_t, const void *)'),
  execve: libcFunction('int execve(const void *, const char **, const char **)'),
};

const closeOnExecFlag = 0o2000000;

/** A pipe whose ends are closed in programs that this process starts, unless they are given to them. */
export function createPipe(): { readFd: number; writeFd: number } {
  const ends = new Int32Array(2);
  checked(calls.pipe2(ends, closeOnExecFlag), 'pipe2');
  return { readFd: ends[0]!, writeFd: ends[1]! };
}

export function chroot(path: PathBytes): void {
  checked(calls.chroot(cString(path)), 'chroot', path);
}

/** pivot_root(2): `newRoot` becomes the root of the mount namespace, the old one is mounted at `putOld`. */
export function pivotRoot(newRoot: PathBytes, putOld: PathBytes): void {
  checked(calls.pivotRoot(cString(newRoot), cString(putOld)), 'pivot_root', newRoot);
}

export function sethostname(name: string): void {
  const bytes = Buffer.from(name);
  checked(calls.sethostname(bytes, bytes.byteLength), 'sethostname');
}

/** Makes this process the leader of a session of its own. */
export function setsid(): void {
  checked(calls.setsid(), 'setsid');
}

const prctlOptions = {
  setParentDeathSignal: 1,
  dropFromBoundingSet: 24,
  setChildSubreaper: 36,
  setNoNewPrivileges: 38,
  ambient: 47,
} as const;
const clearAmbient = 4;

/** This process gets `signal` when its parent thread ends. Cleared when the process changes its user. */
export function setParentDeathSignal(signal: NodeJS.Signals): void {
  prctl(prctlOptions.setParentDeathSignal, constants.signals[signal]);
}

/** Processes below this one whose parent ends become children of this one. */
export function setChildSubreaper(): void {
  prctl(prctlOptions.setChildSubreaper, 1);
}

/** No program that this process becomes gains privileges, such as from a set-uid bit. */
export function setNoNewPrivileges(): void {
  prctl(prctlOptions.setNoNewPrivileges, 1);
}

/** A capability outside the bounding set cannot be gained again. @param capability its number */
export function dropFromBoundingSet(capability: number): void {
  prctl(prctlOptions.dropFromBoundingSet, capability);
}

export function clearAmbientCapabilities(): void {
  prctl(prctlOptions.ambient, clearAmbient);
}

function prctl(option: number, value: number): void {
  checked(calls.prctl(option, value, 0, 0, 0), 'prctl');
}

/** Sets the permitted and the effective set of the calling thread and empties the inheritable one. @param mask a bit per capability number */
export function setCapabilities(mask: bigint): void {
  const version3 = 0x20080522;
  const low = Number(mask & 0xffffffffn);
  const high = Number(mask >> 32n);
  const header = Uint32Array.of(version3, 0);
  const data = Uint32Array.of(low, low, 0, high, high, 0);
  checked(calls.capset(header, data), 'capset');
}

/** No C library has keyctl(2). */
const keyctlNumbers: Readonly<Record<string, number>> = { x64: 250, arm64: 219 };

/** Leaves the session's keyring of the kernel for a new, empty one. @throws Error ENOSYS where the kernel has none */
export function joinNewSessionKeyring(): void {
  const join = 1;
  checked(calls.keyctl(keyctlNumbers[process.arch] ?? -1, join, null), 'keyctl');
}

/** Gives every signal its default action and blocks none, as a new program expects it. */
export function resetSignals(): void {
  const lastSignal = 64;
  for (let signal = 1; signal <= lastSignal; signal += 1) calls.signal(signal, null);
  const setMask = 2;
  const bytesOfSignalSet = 128;
  checked(calls.sigprocmask(setMask, Buffer.alloc(bytesOfSignalSet), null), 'sigprocmask');
}

/** Whether the descriptor is closed when this process becomes another program. */
export function setCloseOnExec(fd: number, close: boolean): void {
  const setDescriptorFlags = 2;
  checked(calls.fcntl(fd, setDescriptorFlags, 'int', close ? 1 : 0), 'fcntl');
}

/** Becomes another program; returns only by throwing. @param env `NAME=value` */
export function execve(path: PathBytes, args: readonly string[], env: readonly string[]): never {
  checked(calls.execve(cString(path), [...args, null], [...env, null]), 'execve', path);
  throw new Error('execve returned');
}
