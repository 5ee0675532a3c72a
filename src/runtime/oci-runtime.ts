import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { LadingError } from '../lib/errors.ts';
import { type ProcessIdentity, processWithPid } from '../lib/process-identity.ts';
import { checkCgroupPath, holdCgroup, oomKills } from './cgroup.ts';
import { bundleFiles, cleanUpContainer } from './clean-up.ts';
import type { ContainerExit, ContainerRuntime, RunningContainer, RuntimeContainer } from './container.ts';
import { checkUserExists, type HostFacts, singleUserLimitation } from './host-facts.ts';
import { allowedOomScore, type OomScoreLimits } from './oom-score.ts';
import { isRunning, writeRecord } from './process-record.ts';
import { runApart } from './run-apart.ts';
import { buildSpec, type SpecFeatures } from './spec.ts';
import { startFailure, startOrCleanUp } from './start-failure.ts';
import { SupervisedProcess } from './supervised-process.ts';

/** The kernel answers at once. */
const killTimeoutMs = 10_000;
const pollMs = 5;

export interface OciFeatures extends SpecFeatures {
  /** `run --keep`: the cgroup outlives the container, so that it can be asked why the container ended. */
  readonly keep: boolean;
}

export interface OciRuntimeOptions {
  readonly name: 'runc' | 'crun';
  readonly path: string;
  readonly version: string;
  /** Directory for the runtime's own state; made when missing. */
  readonly stateDir: string;
  readonly host: HostFacts;
  readonly features: OciFeatures;
  readonly oomScore: OomScoreLimits;
}

/**
 * Containers by a program that follows the OCI runtime specification. It runs in the foreground as a child of this
 * process: its end is the container's end, and its exit code the container's.
 */
export class OciRuntime implements ContainerRuntime {
  readonly name: 'runc' | 'crun';
  readonly version: string;
  readonly isolation: 'full' | 'reduced';
  readonly limitations: readonly string[];
  readonly #options: OciRuntimeOptions;

  constructor(options: OciRuntimeOptions) {
    this.#options = options;
    this.name = options.name;
    this.version = options.version;
    this.isolation = options.features.cgroups && options.features.seccomp ? 'full' : 'reduced';
    this.limitations = limitationsOf(options);
  }

  start(container: RuntimeContainer): Promise<RunningContainer> {
    return startOrCleanUp(container, this.name, () => this.#start(container));
  }

  cleanUp(id: string, bundleDir: string): Promise<void> {
    return cleanUpContainer(id, bundleDir);
  }

  async #start(container: RuntimeContainer): Promise<RunningContainer> {
    const { host, features, oomScore, path, stateDir } = this.#options;
    checkUserExists(container.process.user, host);
    const cgroupPath = features.cgroups ? checkCgroupPath(container.cgroupPath) : undefined;
    const spec = buildSpec(container, host, features, allowedOomScore(container.process.oomScoreAdj, oomScore));
    mkdirSync(stateDir, { recursive: true, mode: 0o700 });
    const bundleFile = (name: keyof typeof bundleFiles) => join(container.bundleDir, bundleFiles[name]);
    writeFileSync(bundleFile('spec'), JSON.stringify(spec), { mode: 0o600 });
    const facts = { cgroupPath, oci: { path, root: stateDir } };
    if (cgroupPath !== undefined) holdCgroup(cgroupPath);
    // Before there is a process, so that there is no moment in which this one can die and leave it unknown.
    writeRecord(container.bundleDir, [], facts);
    const supervisor = await this.#spawn(container);
    if (supervisor.pid !== undefined) writeRecord(container.bundleDir, [supervisor.pid], facts);

    const pid = await pidFrom(bundleFile('pid'), supervisor);
    if (pid === undefined) {
      const complaint = await supervisor.complaint();
      throw startFailure(container, this.name, reasonFrom(bundleFile('log')) ?? complaint);
    }
    writeRecord(container.bundleDir, [supervisor.pid!, pid], facts);
    const init = processWithPid(pid);
    return {
      pid,
      exited: this.#exit(supervisor, cgroupPath),
      kill: (signal) => this.#kill(container.id, init, signal),
    };
  }

  #spawn({ id, bundleDir, logPath }: RuntimeContainer): Promise<SupervisedProcess> {
    const { path, stateDir, features } = this.#options;
    const command = [path, '--root', stateDir, '--log', join(bundleDir, bundleFiles.log), '--log-format', 'json'];
    command.push('run', ...(features.keep ? ['--keep'] : []), '--bundle', bundleDir);
    command.push('--pid-file', join(bundleDir, bundleFiles.pid), id);
    return SupervisedProcess.spawn(command, { logPath });
  }

  async #exit(supervisor: SupervisedProcess, cgroupPath: string | undefined): Promise<ContainerExit> {
    await supervisor.copyOutput();
    const exitCode = (await supervisor.exitCode)!;
    return { exitCode, oomKilled: cgroupPath !== undefined && oomKills(cgroupPath) > 0 };
  }

  async #kill(id: string, init: ProcessIdentity | undefined, signal: NodeJS.Signals): Promise<void> {
    const { path, stateDir } = this.#options;
    try {
      const args = ['--root', stateDir, 'kill', id, String(constants.signals[signal])];
      await runApart(path, args, { timeoutMs: killTimeoutMs });
    } catch (error) {
      if (!init || !isRunning(init)) return;
      throw new LadingError('ERR_LADING_RUNTIME_KILL', `${this.name} could not send ${signal} to container ${id}`, {
        hint: 'Removing the container kills it in any case.',
        cause: error,
      });
    }
  }
}

/** Resolves to the pid as soon as the runtime writes it, to undefined if the runtime ends before. */
async function pidFrom(file: string, supervisor: SupervisedProcess): Promise<number | undefined> {
  let ended = false;
  void supervisor.exitCode.then(() => {
    ended = true;
  });
  for (;;) {
    const endedBefore = ended;
    const pid = Number(readIfThere(file));
    if (pid > 0) return pid;
    if (endedBefore) return undefined;
    await sleep(pollMs);
  }
}

/** The last error in the runtime's log: one JSON object per line. */
function reasonFrom(logFile: string): string | undefined {
  const lines = (readIfThere(logFile) ?? '').split('\n').filter(Boolean);
  const errors = lines.flatMap((line) => {
    try {
      const { level, msg } = JSON.parse(line) as { level?: string; msg?: string };
      return msg && (level === 'error' || level === 'fatal') ? [msg] : [];
    } catch {
      return [];
    }
  });
  return errors.at(-1);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
}

function limitationsOf({ name, features, host }: OciRuntimeOptions): string[] {
  const limitations: string[] = [];
  if (!features.seccomp) {
    limitations.push(`This ${name} has no seccomp: containers may make every system call that their user may.`);
  }
  if (!features.cgroups) {
    limitations.push('Without root there are no cgroups: memory limits are not applied.');
  } else if (!features.keep) {
    limitations.push(`This ${name} cannot tell why a container was killed: out of memory shows as exit code 137 only.`);
  }
  if (host.uidMap.count === 1) limitations.push(singleUserLimitation);
  return limitations;
}
