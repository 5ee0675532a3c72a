import { readFileSync } from 'node:fs';

/**
 * One process of one boot. A pid alone is not enough: it is used again.
 * Elsewhere than on Linux `startTime` and `bootId` are empty and only the pid counts.
 */
export interface ProcessIdentity {
  readonly pid: number;
  /** Clock ticks since boot, from `/proc/<pid>/stat`. */
  readonly startTime: string;
  readonly bootId: string;
}

export function thisProcess(): ProcessIdentity {
  return { pid: process.pid, startTime: startTimeOf('self') ?? '', bootId: bootId() };
}

/** The process that has this pid now; undefined if there is none. */
export function processWithPid(pid: number): ProcessIdentity | undefined {
  const startTime = startTimeOf(pid);
  return startTime === undefined ? undefined : { pid, startTime, bootId: bootId() };
}

/** Whether the process still runs, in this boot. */
export function isAlive(identity: ProcessIdentity): boolean {
  if (identity.bootId !== bootId()) return false;
  if (identity.startTime !== '') return startTimeOf(identity.pid) === identity.startTime;
  try {
    process.kill(identity.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

function startTimeOf(pid: number | 'self'): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  // The command name is in parentheses and may hold anything; field 22 is counted from behind it.
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

let knownBootId: string | undefined;
function bootId(): string {
  knownBootId ??= read('/proc/sys/kernel/random/boot_id')?.trim() ?? '';
  return knownBootId;
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}
