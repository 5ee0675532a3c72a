import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { constants, userInfo } from 'node:os';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { LadingError } from '../lib/errors.ts';
import { setChildSubreaper } from '../lib/libc-process.ts';
import { programModule } from '../lib/program-module.ts';
import { IdMap } from './host-facts.ts';
import { findProgram } from './installed-programs.ts';
import { userNamespaceMarker } from './user-namespace-marker.ts';

/**
 * Root without root: a namespace of users in which the user who starts Lading is root and may mount and make other
 * namespaces. The program runs again inside it; mounts in it are seen by nobody else and end with its last process.
 * @see https://man7.org/linux/man-pages/man7/user_namespaces.7.html
 */

const run = promisify(execFile);

/** A process that the kernel does not let die is not worth waiting for. */
const orphanTimeoutMs = 10_000;

export type UserNamespaceSupport =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /** Names the setting that forbids it, where there is one. */ readonly reason: string;
      readonly hint: string;
    };

/** True where this process is root of a user namespace only: an ordinary user of the machine. */
export function isInUserNamespace(): boolean {
  const uidMap = readSetting('/proc/self/uid_map');
  return uidMap !== undefined && !new IdMap(uidMap).isIdentity;
}

/** Whether this user may make user namespaces, found by making one. */
export function userNamespaceSupport(): UserNamespaceSupport {
  if (process.platform !== 'linux') {
    return { ok: false, reason: 'user namespaces are a part of Linux', hint: 'Run Lading on a Linux machine.' };
  }
  const unshare = findProgram('unshare');
  if (!unshare) {
    return { ok: false, reason: 'unshare(1) is not installed', hint: 'Install the package util-linux.' };
  }
  const trial = spawnSync(unshare, [...singleUser, unshare, '--version'], { encoding: 'utf8' });
  if (trial.status === 0) return { ok: true };
  return explainRefusal((trial.stderr ?? '').trim(), readSetting);
}

const singleUser = ['--user', '--map-root-user', '--mount', '--'];

/** The settings with which a kernel forbids user namespaces, and the values that do. */
const settings = [
  { path: '/proc/sys/user/max_user_namespaces', name: 'user.max_user_namespaces', forbids: '0', allow: '15000' },
  {
    path: '/proc/sys/kernel/unprivileged_userns_clone',
    name: 'kernel.unprivileged_userns_clone',
    forbids: '0',
    allow: '1',
  },
  {
    path: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    name: 'kernel.apparmor_restrict_unprivileged_userns',
    forbids: '1',
    allow: '0',
  },
] as const;

/** @param complaint what unshare(1) said */
export function explainRefusal(
  complaint: string,
  read: (path: string) => string | undefined,
): UserNamespaceSupport & { ok: false } {
  const guilty = settings.find(({ path, forbids }) => read(path) === forbids);
  if (!guilty) {
    const hint = 'A security module, or the container that this runs in, forbids it; run Lading as root instead.';
    return { ok: false, reason: complaint || 'unshare(1) failed without a word', hint };
  }
  const { name, forbids, allow } = guilty;
  return {
    ok: false,
    reason: `the kernel setting ${name} is ${forbids}, which forbids user namespaces to ordinary users`,
    hint: `An administrator can allow them: sysctl -w ${name}=${allow}`,
  };
}

function readSetting(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return undefined;
  }
}

/**
 * Runs this Node program again as root of a new user namespace and waits for its end. With newuidmap, newgidmap and a
 * range in /etc/subuid and /etc/subgid all of that range's users exist in it, else the one user only. Signals are
 * passed on, and nothing that was started inside stays behind.
 * @param argv the script and its arguments: `process.argv.slice(1)`
 * @returns its exit code, 128 + signal if it was killed
 * @throws LadingError `ERR_LADING_USER_NAMESPACE` where that is forbidden, with the setting that forbids it, or when
 * this process is in one already
 */
export async function reexecInUserNamespace(argv: readonly string[]): Promise<number> {
  if (process.env[userNamespaceMarker] !== undefined) {
    throw new LadingError('ERR_LADING_USER_NAMESPACE', 'this process runs in the user namespace already');
  }
  const support = userNamespaceSupport();
  if (!support.ok) {
    const { reason, hint } = support;
    throw new LadingError('ERR_LADING_USER_NAMESPACE', `no user namespace can be made: ${reason}`, { hint });
  }
  setChildSubreaper();
  const program = [process.execPath, ...process.execArgv, '--import', preload, ...argv];
  const child = (await spawnWithRange(program)) ?? spawnSingleUser(program);
  const ended = once(child, 'exit') as Promise<[number | null, NodeJS.Signals | null]>;
  const stopForwarding = forwardSignals(child);
  const [code, signal] = await ended;
  stopForwarding();
  await killOrphans();
  return code ?? 128 + constants.signals[signal!];
}

const preload = programModule('runtime/user-namespace-preload').href;

function spawnSingleUser(program: readonly string[]): ChildProcess {
  const args = [...singleUser, ...program];
  return spawn(findProgram('unshare')!, args, { stdio: 'inherit', env: markedEnvironment(), detached: true });
}

function markedEnvironment(): NodeJS.ProcessEnv {
  return { ...process.env, [userNamespaceMarker]: String(process.pid) };
}

/**
 * The namespace is made first, by a shell that waits in it; from outside it is given its users, and then the shell
 * becomes the program. Undefined where there are no users to give.
 */
async function spawnWithRange(program: readonly string[]): Promise<ChildProcess | undefined> {
  const ranges = subordinateRanges();
  if (!ranges) return undefined;
  const script = 'printf r >&3; read -r go <&3 && exec "$@" 3<&-';
  const args = ['--user', '--mount', '--', 'sh', '-c', script, 'sh', ...program];
  const child = spawn(findProgram('unshare')!, args, {
    stdio: ['inherit', 'inherit', 'inherit', 'pipe'],
    env: markedEnvironment(),
    detached: true,
  });
  const gate = child.stdio[3] as Duplex;
  try {
    await Promise.race([once(gate, 'data'), once(gate, 'end').then(() => Promise.reject(new Error('no namespace')))]);
    for (const { program: setter, own, start, count } of ranges) {
      await run(setter, [String(child.pid), '0', String(own), '1', '1', String(start), String(count)]);
    }
  } catch {
    // newuidmap without its set-uid bit, a range that overlaps: one user is better than none.
    child.kill('SIGKILL');
    return undefined;
  }
  gate.end('go\n');
  return child;
}

interface SubordinateRange {
  /** newuidmap or newgidmap. */
  readonly program: string;
  readonly own: number;
  readonly start: number;
  readonly count: number;
}

function subordinateRanges(): [users: SubordinateRange, groups: SubordinateRange] | undefined {
  const { uid, gid, username } = thisUser();
  const [newuidmap, newgidmap] = [findProgram('newuidmap'), findProgram('newgidmap')];
  const users = rangeIn(readSetting('/etc/subuid'), username, uid);
  const groups = rangeIn(readSetting('/etc/subgid'), username, uid);
  if (!newuidmap || !newgidmap || !users || !groups) return undefined;
  return [
    { program: newuidmap, own: uid, ...users },
    { program: newgidmap, own: gid, ...groups },
  ];
}

function thisUser(): { uid: number; gid: number; username: string } {
  try {
    return userInfo();
  } catch {
    // Not in /etc/passwd.
    return { uid: process.getuid!(), gid: process.getgid!(), username: '' };
  }
}

/** The first line `NAME-OR-UID:START:COUNT` of this user. */
function rangeIn(
  text: string | undefined,
  username: string,
  uid: number,
): { start: number; count: number } | undefined {
  for (const line of (text ?? '').split('\n')) {
    const [owner, start, count] = line.trim().split(':');
    if (owner !== username && owner !== String(uid)) continue;
    if (Number(start) > 0 && Number(count) > 0) return { start: Number(start), count: Number(count) };
  }
  return undefined;
}

/**
 * The program inside has a session of its own and gets these from here only: what a terminal, or whoever signals the
 * process group, sends must not arrive twice, because a second Ctrl-C means more than the first.
 */
const passedOn: readonly NodeJS.Signals[] = [
  'SIGINT',
  'SIGQUIT',
  'SIGTERM',
  'SIGHUP',
  'SIGUSR1',
  'SIGUSR2',
  'SIGWINCH',
];

function forwardSignals(child: ChildProcess): () => void {
  const handlers = passedOn.map((signal) => {
    const handler = () => child.kill(signal);
    process.on(signal, handler);
    return () => process.off(signal, handler);
  });
  return () => {
    for (const remove of handlers) remove();
  };
}

/** Whatever the program inside left behind has become a child of this process; so do the children of those. */
async function killOrphans(): Promise<void> {
  const deadline = Date.now() + orphanTimeoutMs;
  for (let orphans = childProcesses(); orphans.length > 0 && Date.now() < deadline; orphans = childProcesses()) {
    for (const pid of orphans) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It has ended by itself.
      }
    }
    await sleep(5);
  }
}

function childProcesses(): number[] {
  return readdirSync('/proc')
    .filter((name) => /^[0-9]+$/.test(name))
    .filter((pid) => {
      const stat = readSetting(`/proc/${pid}/stat`) ?? '';
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      return state !== 'Z' && Number(parent) === process.pid;
    })
    .map(Number);
}
