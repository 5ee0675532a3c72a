import { existsSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LadingError } from '../lib/errors.ts';
import { parseMountInfo } from './mount-info.ts';
import { sendSignal } from './process-record.ts';

/**
 * The cgroup hierarchies of this machine: one (version 2), one per controller (version 1), or both at once (hybrid).
 * A container has a folder of the same path in each.
 */
export interface CgroupHierarchy {
  readonly version: 1 | 2;
  readonly mountPoint: string;
  /** Version 1: the controllers of this hierarchy. Version 2 has them all. */
  readonly controllers: readonly string[];
}

export function cgroupHierarchies(mountInfo = readFileSync('/proc/self/mountinfo', 'utf8')): CgroupHierarchy[] {
  const found = new Map<string, CgroupHierarchy>();
  for (const { root, mountPoint, type, superOptions } of parseMountInfo(mountInfo)) {
    if (root !== '/' || (type !== 'cgroup' && type !== 'cgroup2')) continue;
    const version = type === 'cgroup' ? 1 : 2;
    found.set(mountPoint, { version, mountPoint, controllers: version === 1 ? superOptions : [] });
  }
  return [...found.values()];
}

/**
 * How many processes of the cgroup the kernel has killed for its memory limit. Version 1 counts in the cgroup itself,
 * version 2 in it and all below.
 */
export function oomKills(cgroupPath: string, hierarchies = cgroupHierarchies()): number {
  for (const { version, mountPoint, controllers } of hierarchies) {
    if (version === 1 && !controllers.includes('memory')) continue;
    const file = version === 1 ? 'memory.oom_control' : 'memory.events';
    const count = /^oom_kill (\d+)$/m.exec(readIfThere(join(mountPoint, cgroupPath, file)) ?? '')?.[1];
    if (count !== undefined) return Number(count);
  }
  return 0;
}

/**
 * @returns the path, which is below the root of the hierarchies and leaves it nowhere
 * @throws LadingError `ERR_LADING_RUNTIME_START` for a path that is not
 */
export function checkCgroupPath(cgroupPath: string): string {
  if (cgroupPath !== '/' && cgroupPath === posix.normalize(cgroupPath) && posix.isAbsolute(cgroupPath))
    return cgroupPath;
  throw new LadingError('ERR_LADING_RUNTIME_START', `${JSON.stringify(cgroupPath)} is no cgroup path`, {
    hint: 'A cgroup path is absolute, such as /lading/web, and has no part that is empty, . or ..',
    data: { cgroupPath },
  });
}

/**
 * Cgroups of containers that this process starts or has started. The folders above them are not removed meanwhile, not
 * even when empty: the runtime may have made them a moment ago and be about to make the container's below.
 */
const inUse = new Set<string>();

/** Keeps the folders above a cgroup until it is removed. */
export function holdCgroup(cgroupPath: string): void {
  inUse.add(cgroupPath);
}

/**
 * Kills what runs in the cgroup and removes its folders in all hierarchies, and the folders above them that are empty
 * then. Nothing there is no error.
 * @throws LadingError `ERR_LADING_RUNTIME_CLEANUP` if processes stay alive for `timeoutMs`
 */
export async function removeCgroup(
  cgroupPath: string,
  options: { timeoutMs: number; hierarchies?: readonly CgroupHierarchy[] },
): Promise<void> {
  const deadline = Date.now() + options.timeoutMs;
  inUse.delete(cgroupPath);
  for (const { mountPoint } of options.hierarchies ?? cgroupHierarchies()) {
    const folder = join(mountPoint, checkCgroupPath(cgroupPath));
    while (!removeTree(folder)) {
      if (Date.now() > deadline) {
        throw new LadingError('ERR_LADING_RUNTIME_CLEANUP', `the cgroup ${folder} cannot be removed`, {
          hint: `Its processes do not end although they were killed: ${processesIn(folder).join(' ') || 'none listed'}.`,
          data: { folder },
        });
      }
      await sleep(10);
    }
    removeEmptyAbove(dirname(cgroupPath), mountPoint);
  }
}

/** True when the folder is gone; else its processes have been killed and it is worth another try. */
function removeTree(folder: string): boolean {
  if (!existsSync(folder)) return true;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) removeTree(join(folder, entry.name));
  }
  for (const pid of processesIn(folder)) sendSignal(pid, 'SIGKILL');
  return removeFolder(folder);
}

/** The kernel refuses to remove a cgroup that has processes or children, so trying is safe. */
function removeFolder(folder: string): boolean {
  try {
    rmdirSync(folder);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
}

function removeEmptyAbove(cgroupPath: string, mountPoint: string): void {
  for (let at = cgroupPath; at !== '/'; at = dirname(at)) {
    const isHeld = [...inUse].some((held) => held.startsWith(`${at}/`));
    if (isHeld || !removeFolder(join(mountPoint, at))) return;
  }
}

function processesIn(folder: string): number[] {
  return (readIfThere(join(folder, 'cgroup.procs')) ?? '').split('\n').filter(Boolean).map(Number);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
