import { closeSync, constants, openSync, realpathSync, statSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { mkfifo } from '../../lib/libc.ts';
import { type ProcessIdentity, processWithPid } from '../../lib/process-identity.ts';
import { programModule } from '../../lib/program-module.ts';
import { capabilityNumber, grantedCapabilities } from '../capabilities.ts';
import { bundleFiles, cleanUpContainer } from '../clean-up.ts';
import type { ContainerExit, ContainerRuntime, RunningContainer, RuntimeContainer } from '../container.ts';
import { checkUserExists, type HostFacts, singleUserLimitation, supplementaryGroups } from '../host-facts.ts';
import { allowedOomScore, type OomScoreLimits } from '../oom-score.ts';
import { isRunning, sendSignal, writeRecord } from '../process-record.ts';
import { startFailure, startOrCleanUp } from '../start-failure.ts';
import { SupervisedProcess } from '../supervised-process.ts';
import { homeDirectory } from '../user.ts';
import type { InitPlan, InitStatus, PlannedMount } from './plan.ts';

export interface EmbeddedRuntimeOptions {
  /** Of unshare(1). */
  readonly path: string;
  readonly version: string;
  readonly host: HostFacts;
  readonly oomScore: OomScoreLimits;
}

/**
 * Containers with nothing but util-linux: unshare(1) makes the namespaces, a small program of ours (`init.ts`) builds
 * the root file system in them, drops what the container must not have, and becomes the container's program.
 */
export class EmbeddedRuntime implements ContainerRuntime {
  readonly name = 'embedded';
  readonly version: string;
  readonly isolation = 'reduced';
  readonly limitations: readonly string[];
  readonly #options: EmbeddedRuntimeOptions;

  constructor(options: EmbeddedRuntimeOptions) {
    this.#options = options;
    this.version = options.version;
    this.limitations = [
      'No cgroups: memory limits are not applied, and a container can use up all processors and process ids.',
      'No seccomp filter: a container may make every system call that its user and capabilities allow.',
      ...(options.host.uidMap.count === 1
        ? [`${singleUserLimitation} Whatever user a container asks for is you.`]
        : []),
    ];
  }

  start(container: RuntimeContainer): Promise<RunningContainer> {
    return startOrCleanUp(container, this.name, () => this.#start(container));
  }

  cleanUp(id: string, bundleDir: string): Promise<void> {
    return cleanUpContainer(id, bundleDir);
  }

  async #start(container: RuntimeContainer): Promise<RunningContainer> {
    const asOnlyUser = needsOnlyUser(container, this.#options.host);
    if (!asOnlyUser) checkUserExists(container.process.user, this.#options.host);
    const bundleFile = (name: keyof typeof bundleFiles) => join(container.bundleDir, bundleFiles[name]);
    const plan = makePlan(container, this.#options, { statusFile: bundleFile('status'), asOnlyUser });
    writeFileSync(bundleFile('plan'), JSON.stringify(plan), { mode: 0o600 });
    mkfifo(plan.statusFile, 0o600);
    const status = openStatus(plan.statusFile);
    try {
      const command = this.#command(container, bundleFile('plan'), asOnlyUser);
      const supervisor = await SupervisedProcess.spawn(command, { logPath: container.logPath });
      if (supervisor.pid !== undefined) writeRecord(container.bundleDir, [supervisor.pid]);
      const outcome = await lastStatus(status, supervisor, {
        statusFile: plan.statusFile,
        onPid: (pid) => writeRecord(container.bundleDir, [supervisor.pid!, pid]),
      });
      if (outcome.pid === undefined) {
        const complaint = await supervisor.complaint();
        throw startFailure(container, this.name, outcome.failure ?? complaint);
      }
      const init = processWithPid(outcome.pid);
      return {
        pid: outcome.pid,
        exited: exitOf(supervisor),
        kill: async (signal) => signalInit(init, signal),
      };
    } finally {
      status.destroy();
    }
  }

  #command({ process: { user } }: RuntimeContainer, planFile: string, asOnlyUser: boolean): string[] {
    const { path, host } = this.#options;
    return [
      path,
      ...['--pid', '--mount', '--propagation', 'private', '--uts', '--ipc'],
      ...(host.cgroupNamespaces ? ['--cgroup'] : []),
      ...(asOnlyUser ? ['--user', `--map-user=${user.uid}`, `--map-group=${user.gid}`, '--keep-caps'] : []),
      ...['--', 'sh', '-c', waitingShell, 'sh'],
      ...[process.execPath, fileURLToPath(programModule('runtime/embedded/init')), planFile],
    ];
  }
}

/**
 * Starts the first process of the new pid namespace and ends as it ends, with 128 + signal for signals: `unshare --fork`
 * turns SIGKILL into exit code 1. It lets go of the output, which then ends with the container, and tells `init.ts`
 * whose child it is.
 */
const waitingShell = '"$@" $$ & exec >/dev/null 2>&1; wait $!';

/**
 * Where a user namespace has but one user, another user of an image becomes that one in a namespace of its own: the
 * container sees its own id.
 */
function needsOnlyUser({ process: { user } }: RuntimeContainer, { uidMap, gidMap }: HostFacts): boolean {
  return uidMap.count === 1 && gidMap.count === 1 && !(uidMap.has(user.uid) && gidMap.has(user.gid));
}

function makePlan(
  container: RuntimeContainer,
  { host, oomScore }: EmbeddedRuntimeOptions,
  options: { statusFile: string; asOnlyUser: boolean },
): InitPlan {
  const { args, env, cwd, user, capabilities, noNewPrivileges } = container.process;
  const terminalGid = 5;
  const oomScoreAdj = allowedOomScore(container.process.oomScoreAdj, oomScore);
  return {
    statusFile: options.statusFile,
    rootfs: realpathSync(container.rootfs),
    hostname: container.hostname,
    mounts: container.mounts.map(plannedMount).sort((one, other) => depthOf(one) - depthOf(other)),
    readonlyRootfs: container.readonlyRootfs,
    maskedPaths: container.maskedPaths,
    readonlyPaths: container.readonlyPaths,
    inUserNamespace: host.inUserNamespace,
    ...(host.gidMap.has(terminalGid) && !options.asOnlyUser ? { terminalGid } : {}),
    args,
    // As runc does it.
    env: env.some((line) => line.startsWith('HOME='))
      ? env
      : [...env, `HOME=${homeDirectory(container.rootfs, user.uid)}`],
    cwd,
    uid: user.uid,
    gid: user.gid,
    ...(host.maySetGroups && !options.asOnlyUser ? { groups: supplementaryGroups(user, host) } : {}),
    capabilities: grantedCapabilities(capabilities, host.capabilities).map(capabilityNumber),
    noNewPrivileges,
    ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
  };
}

function plannedMount({ source, destination, readonly }: RuntimeContainer['mounts'][number]): PlannedMount {
  const resolved = realpathSync(source);
  return { source: resolved, destination, kind: statSync(resolved).isDirectory() ? 'directory' : 'file', readonly };
}

function depthOf({ destination }: PlannedMount): number {
  return destination.split('/').filter(Boolean).length;
}

/** Opened before there is a writer, so that the writer finds a reader. */
function openStatus(path: string): Socket {
  return new Socket({ fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK), readable: true, writable: false });
}

/** Reads what `init.ts` reports until it becomes the container's program, or ends. */
async function lastStatus(
  status: Socket,
  supervisor: SupervisedProcess,
  options: { statusFile: string; onPid: (pid: number) => void },
): Promise<{ pid?: number; failure?: string }> {
  void supervisor.exitCode.then(() => endStatus(options.statusFile));
  const reports: InitStatus[] = [];
  for await (const line of createInterface({ input: status })) {
    const report = JSON.parse(line) as InitStatus;
    reports.push(report);
    if (report.state === 'setup') options.onPid(report.pid);
  }
  const last = reports.at(-1);
  if (last?.state === 'failed') return { failure: last.reason };
  const pid = reports.find((report) => report.state === 'setup')?.pid;
  return last?.state === 'exec' && pid !== undefined ? { pid } : {};
}

/** If unshare(1) fails there is never a writer, and so never an end: this is one. */
function endStatus(statusFile: string): void {
  try {
    closeSync(openSync(statusFile, constants.O_WRONLY | constants.O_NONBLOCK));
  } catch {
    // It has ended: nobody reads, or it has been removed.
  }
}

async function exitOf(supervisor: SupervisedProcess): Promise<ContainerExit> {
  await supervisor.copyOutput();
  return { exitCode: (await supervisor.exitCode)!, oomKilled: false };
}

function signalInit(init: ProcessIdentity | undefined, signal: NodeJS.Signals): void {
  if (init && isRunning(init)) sendSignal(init.pid, signal);
}
