import { closeSync, existsSync, openSync, readFileSync, realpathSync, statSync, symlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import { mount, mountFlags, umount2, unmountFlags } from '../../lib/libc.ts';
import { chroot, pivotRoot } from '../../lib/libc-process.ts';
import { makeFolders } from '../../lib/make-folders.ts';
import { type MountInfo, parseMountInfo } from '../mount-info.ts';
import { pathInRootfs } from '../rootfs-path.ts';
import type { InitPlan, PlannedMount } from './plan.ts';

/**
 * Mounts what a container sees and makes it the root. Everything is mounted from inside the new root by chroot, so
 * that no symlink of an image leads out of it; the working directory stays at the node's root meanwhile, so that a
 * path without a leading slash is the node's.
 */

const quiet = mountFlags.noSuid | mountFlags.noDev | mountFlags.noExec;
const devices = ['null', 'zero', 'full', 'random', 'urandom', 'tty'];
const deviceLinks = [
  ['/proc/self/fd', 'fd'],
  ['/proc/self/fd/0', 'stdin'],
  ['/proc/self/fd/1', 'stdout'],
  ['/proc/self/fd/2', 'stderr'],
  ['pts/ptmx', 'ptmx'],
] as const;

export function enterRoot(plan: InitPlan): void {
  mount(plan.rootfs, plan.rootfs, undefined, mountFlags.bind | mountFlags.recursive);
  process.chdir('/');
  chroot(plan.rootfs);
  // No cgroup keeps devices from being opened here, so no mount of the container allows it but those of /dev below.
  addFlags('/', mountFlags.noDev, 'recursive');
  mountSystem(plan);
  for (const planned of plan.mounts) bind(planned);
  for (const path of plan.maskedPaths) mask(path);
  for (const path of plan.readonlyPaths) makeReadonly(path);
  makeFolders(pathInRootfs('/', plan.cwd));
  if (plan.readonlyRootfs) addFlags('/', mountFlags.readOnly);
  chroot('.');
  protectOwnProgram();
  process.chdir(plan.rootfs);
  // The old root then lies over the new one, and is taken away: "pivot_root(".", ".")" of pivot_root(2).
  pivotRoot('.', '.');
  umount2('.', unmountFlags.detach);
  process.chdir('/');
}

function mountSystem({ mounts, inUserNamespace, terminalGid }: InitPlan): void {
  const taken = new Set(mounts.map(({ destination }) => destination));
  const unlessTaken = (path: string, mountThere: () => void) => {
    if (taken.has(path)) return;
    makeFolders(path);
    mountThere();
  };
  unlessTaken('/proc', () => mount('proc', '/proc', 'proc', quiet));
  unlessTaken('/dev', mountDevices);
  unlessTaken('/dev/pts', () => {
    const group = terminalGid === undefined ? '' : `,gid=${terminalGid}`;
    const options = `newinstance,ptmxmode=0666,mode=0620${group}`;
    mount('devpts', '/dev/pts', 'devpts', mountFlags.noSuid | mountFlags.noExec, options);
  });
  unlessTaken('/dev/shm', () => mount('shm', '/dev/shm', 'tmpfs', quiet, 'mode=1777,size=65536k'));
  unlessTaken('/dev/mqueue', () => mount('mqueue', '/dev/mqueue', 'mqueue', quiet));
  unlessTaken('/sys', () => {
    if (inUserNamespace) showSysOfNode();
    else mount('sysfs', '/sys', 'sysfs', quiet | mountFlags.readOnly);
  });
}

function mountDevices(): void {
  mount('tmpfs', '/dev', 'tmpfs', mountFlags.noSuid, 'mode=755,size=65536k');
  for (const name of devices) {
    closeSync(openSync(`/dev/${name}`, 'w'));
    mount(`dev/${name}`, `/dev/${name}`, undefined, mountFlags.bind);
  }
  for (const [target, name] of deviceLinks) symlinkSync(target, `/dev/${name}`);
  addFlags('/dev', mountFlags.noDev);
}

/** A user namespace may not mount the sysfs of a network that it does not own. What it could change in it is covered. */
function showSysOfNode(): void {
  mount('sys', '/sys', undefined, mountFlags.bind | mountFlags.recursive);
  addFlags('/sys', quiet | mountFlags.readOnly, 'recursive');
  if (existsSync('/sys/fs/cgroup')) mount('tmpfs', '/sys/fs/cgroup', 'tmpfs', quiet | mountFlags.readOnly);
}

function bind({ source, destination, kind, readonly }: PlannedMount): void {
  const mountPoint = pathInRootfs('/', destination);
  if (kind === 'directory') makeFolders(mountPoint);
  else if (!existsSync(mountPoint)) {
    makeFolders(dirname(mountPoint));
    closeSync(openSync(mountPoint, 'a'));
  }
  mount(source.slice(1) || '.', mountPoint, undefined, mountFlags.bind | mountFlags.recursive);
  addFlags(mountPoint, mountFlags.noDev, 'recursive');
  if (readonly) addFlags(mountPoint, mountFlags.readOnly);
}

function mask(path: string): void {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isDirectory()) mount('tmpfs', path, 'tmpfs', quiet | mountFlags.readOnly);
  else if (stats) mount('dev/null', path, undefined, mountFlags.bind);
}

function makeReadonly(path: string): void {
  if (!existsSync(path)) return;
  const mountPoint = realpathSync.native(path);
  mount(mountPoint, mountPoint, undefined, mountFlags.bind | mountFlags.recursive);
  addFlags(mountPoint, mountFlags.readOnly);
}

/**
 * A container whose program is `/proc/self/exe` becomes this Node program again, with libraries of its own, and could
 * then write to the file that the node runs (CVE-2019-5736). Here, the file is on a read-only mount.
 */
function protectOwnProgram(): void {
  const program = realpathSync(process.execPath);
  const isAbove = (mountPoint: string) =>
    mountPoint === '/' || program === mountPoint || program.startsWith(`${mountPoint}/`);
  const mountPoints = mountsSeen()
    .map(({ mountPoint }) => mountPoint)
    .filter(isAbove);
  const closest = mountPoints.reduce(
    (longest, mountPoint) => (mountPoint.length > longest.length ? mountPoint : longest),
    '/',
  );
  addFlags(closest, mountFlags.readOnly);
}

function mountsSeen(): MountInfo[] {
  return parseMountInfo(readFileSync('proc/self/mountinfo', 'utf8'));
}

const flagsByOption: Readonly<Record<string, number>> = {
  ro: mountFlags.readOnly,
  nosuid: mountFlags.noSuid,
  nodev: mountFlags.noDev,
  noexec: mountFlags.noExec,
};

/**
 * Adds flags to the mount at `path`, and to those below it when recursive. A remount replaces all flags, and in a user
 * namespace those of mounts from outside are locked, so the present ones are given again.
 */
function addFlags(path: string, flags: number, depth: 'recursive' | 'here' = 'here'): void {
  const seen = new Map(mountsSeen().map(({ mountPoint, options }) => [mountPoint, options]));
  const below = path === '/' ? '/' : `${path}/`;
  for (const [mountPoint, options] of seen) {
    if (mountPoint !== path && !(depth === 'recursive' && mountPoint.startsWith(below))) continue;
    const present = options.reduce((sum, option) => sum | (flagsByOption[option] ?? 0), 0);
    try {
      mount(undefined, mountPoint, undefined, mountFlags.remount | mountFlags.bind | present | flags);
    } catch (error) {
      if (mountPoint === path || !isOutOfReach(error)) throw error;
    }
  }
}

/** Another mount lies over the directory that this one is in: nobody can reach it, neither can its flags. */
function isOutOfReach(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'EINVAL' || code === 'ENOTDIR';
}
