import {
  accessSync,
  constants,
  fchownSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { isAbsolute, join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import {
  clearAmbientCapabilities,
  dropFromBoundingSet,
  execve,
  joinNewSessionKeyring,
  resetSignals,
  setCapabilities,
  setCloseOnExec,
  sethostname,
  setNoNewPrivileges,
  setParentDeathSignal,
  setsid,
} from '../../lib/libc-process.ts';
import type { InitPlan, InitStatus } from './plan.ts';
import { enterRoot } from './root-mounts.ts';

/**
 * The first process of an embedded container, started by unshare(1) in new namespaces: it builds the root file system,
 * gives up its privileges and becomes the container's program. Its arguments are the file with its `InitPlan`, and the
 * pid of its parent, with which it ends.
 */

const [planFile, parent] = process.argv.slice(2);
setParentDeathSignal('SIGKILL');
// The node's /proc still shows processes under the pids that the node knows.
if (ownPids().parent !== Number(parent)) process.exit(1);
const plan = JSON.parse(readFileSync(planFile!, 'utf8')) as InitPlan;
// Fails instead of waiting when nobody reads: whoever started this is gone then.
const status = openSync(plan.statusFile, constants.O_WRONLY | constants.O_NONBLOCK);

try {
  becomeContainer();
} catch (error) {
  report({ state: 'failed', reason: (error as Error).message });
  process.exit(1);
}

function becomeContainer(): void {
  report({ state: 'setup', pid: ownPids().pid });
  const lastCapability = Number(readFileSync('/proc/sys/kernel/cap_last_cap', 'utf8'));
  if (plan.oomScoreAdj !== undefined) writeFileSync('/proc/self/oom_score_adj', String(plan.oomScoreAdj));
  sethostname(plan.hostname);
  enterRoot(plan);
  setsid();
  leaveKeyring();
  process.umask(0o022);
  closeOthersOnExec();
  giveOutput();
  giveUpPrivileges(lastCapability);
  enterWorkingDirectory();
  const program = findProgram(plan.args[0]!);
  resetSignals();
  report({ state: 'exec' });
  try {
    execve(program, plan.args, plan.env);
  } catch (error) {
    const [, text = 'unknown error'] = getSystemErrorMap().get((error as { errno: number }).errno) ?? [];
    throw new Error(`exec: ${JSON.stringify(program)}: ${text}`);
  }
}

/** The keys of whoever started Lading are none of the container's. */
function leaveKeyring(): void {
  try {
    joinNewSessionKeyring();
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'ENOSYS' && code !== 'EPERM') throw error;
  }
}

/**
 * A working directory such as /proc/self/fd/7 could be a folder of the node, by a descriptor that this process got
 * from those before it (CVE-2024-21626). The kernel does not name a directory that is outside of the root.
 */
function enterWorkingDirectory(): void {
  process.chdir(plan.cwd);
  try {
    process.cwd();
  } catch {
    throw new Error(`the working directory ${plan.cwd} is not in the root file system`);
  }
}

/** For programs that this process becomes: standard input and output stay, everything else is closed. */
function closeOthersOnExec(): void {
  for (const name of readdirSync('/proc/self/fd')) {
    try {
      setCloseOnExec(Number(name), Number(name) > 2);
    } catch {
      // The descriptor by which the folder was read.
    }
  }
}

/** The container's user may open `/dev/stdout` again, as programs do that log to a file of that name. */
function giveOutput(): void {
  for (const output of [1, 2]) fchownSync(output, plan.uid, plan.gid);
}

function giveUpPrivileges(lastCapability: number): void {
  clearAmbientCapabilities();
  for (let capability = 0; capability <= lastCapability; capability += 1) {
    if (!plan.capabilities.includes(capability)) dropFromBoundingSet(capability);
  }
  if (plan.groups) process.setgroups!([...plan.groups]);
  if (process.getgid!() !== plan.gid) process.setgid!(plan.gid);
  if (process.getuid!() !== plan.uid) process.setuid!(plan.uid);
  // Another user than root has lost its capabilities by now, or loses them when it becomes the program.
  setCapabilities(plan.uid === 0 ? plan.capabilities.reduce((mask, bit) => mask | (1n << BigInt(bit)), 0n) : 0n);
  // The change of the user has cleared it.
  setParentDeathSignal('SIGKILL');
  if (plan.noNewPrivileges) setNoNewPrivileges();
}

/** @throws Error in the words that runc uses */
function findProgram(name: string): string {
  if (name.includes('/')) return isAbsolute(name) ? name : join(plan.cwd, name);
  const path = plan.env.find((variable) => variable.startsWith('PATH='))?.slice('PATH='.length) ?? '';
  for (const folder of path.split(':')) {
    const candidate = join(folder || '.', name);
    if (isExecutable(candidate)) return candidate;
  }
  throw new Error(`exec: ${JSON.stringify(name)}: executable file not found in $PATH`);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** As the node counts them. */
function ownPids(): { pid: number; parent: number } {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid: Number.parseInt(stat, 10), parent: Number(parent) };
}

function report(line: InitStatus): void {
  writeSync(status, `${JSON.stringify(line)}\n`);
}
