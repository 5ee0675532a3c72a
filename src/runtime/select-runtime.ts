import { mkdirSync, readFileSync, realpathSync } from 'node:fs';
import { join } from 'node:path';
import { LadingError } from '../lib/errors.ts';
import type { ContainerRuntime, RuntimeChoice } from './container.ts';
import { EmbeddedRuntime } from './embedded/embedded-runtime.ts';
import { type HostFacts, hostFacts } from './host-facts.ts';
import { findOnPath, findProgram, outputOf } from './installed-programs.ts';
import { mountAt, parseMountInfo } from './mount-info.ts';
import { type OciFeatures, OciRuntime } from './oci-runtime.ts';
import { type OomScoreLimits, probeOomScore } from './oom-score.ts';
import { tryRuntime } from './trial.ts';
import { trialMachines } from './trial-program.ts';
import { type TrialOutcome, TrialRecords } from './trial-records.ts';
import { userNamespaceSupport } from './user-namespace.ts';

export interface SelectedRuntime {
  readonly runtime: ContainerRuntime;
  /** Those that were tried before it, and why each does not work here. */
  readonly rejected: readonly { readonly name: RuntimeChoice; readonly reason: string }[];
  /** What pods may ask for and this machine does not give, a sentence each. */
  readonly warnings: readonly string[];
}

/** Full isolation first. */
const automaticOrder: readonly RuntimeChoice[] = ['runc', 'crun', 'embedded'];

/**
 * Finds the runtime of this machine by running a container with it; the outcome is remembered in `stateDir` until the
 * program, the boot or the privileges change.
 * @param options.stateDir made when missing; the runtimes keep their state there
 * @param options.prefer only this one, instead of the first of runc, crun and embedded that works
 * @throws LadingError `ERR_LADING_RUNTIME_UNSUPPORTED` when containers cannot run here, with all reasons
 */
export async function selectRuntime(options: {
  stateDir: string;
  prefer?: RuntimeChoice | undefined;
}): Promise<SelectedRuntime> {
  checkPlatform();
  mkdirSync(options.stateDir, { recursive: true, mode: 0o700 });
  const context = {
    stateDir: options.stateDir,
    host: hostFacts(),
    oomScore: probeOomScore(),
    records: new TrialRecords(join(options.stateDir, 'trials.json')),
  };
  const rejected: { name: RuntimeChoice; reason: string }[] = [];
  for (const name of options.prefer ? [options.prefer] : automaticOrder) {
    const found = name === 'embedded' ? await tryEmbedded(context) : await tryOci(name, context);
    if (typeof found !== 'string') return { runtime: found, rejected, warnings: warningsOf(context.oomScore) };
    rejected.push({ name, reason: found });
  }
  const reasons = rejected.map(({ name, reason }) => `${name}: ${reason}`).join('; ');
  throw new LadingError('ERR_LADING_RUNTIME_UNSUPPORTED', `containers cannot run here: ${reasons}`, {
    hint: hintFor(options),
    data: { rejected },
  });
}

function hintFor({ stateDir, prefer }: { stateDir: string; prefer?: RuntimeChoice | undefined }): string {
  const mount = mountAt(parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')), realpathSync(stateDir));
  if (mount?.options.includes('noexec') === true) {
    return `${mount.mountPoint} is mounted noexec: nothing that is there can run. Choose another folder with --root.`;
  }
  return prefer
    ? 'Without a chosen runtime, Lading takes the first of runc, crun and its own that works.'
    : 'Install runc, or util-linux with unshare(1), and run as root or where user namespaces are allowed.';
}

interface Context {
  readonly stateDir: string;
  readonly host: HostFacts;
  readonly oomScore: OomScoreLimits;
  readonly records: TrialRecords;
}

function checkPlatform(): void {
  if (process.platform !== 'linux' || !trialMachines.includes(process.arch)) {
    throw new LadingError(
      'ERR_LADING_RUNTIME_UNSUPPORTED',
      `running containers needs Linux on ${trialMachines.join(' or ')}, and this is ${process.platform} on ${process.arch}`,
      {
        hint: 'Everything but running works here: pulling, explaining, pushing, the registry. Run pods on a Linux machine.',
      },
    );
  }
  if (process.geteuid!() === 0) return;
  const support = userNamespaceSupport();
  throw new LadingError(
    'ERR_LADING_RUNTIME_UNSUPPORTED',
    `running containers needs root or a user namespace, and this process has neither${support.ok ? '' : `: ${support.reason}`}`,
    { hint: support.ok ? 'Start the program again with reexecInUserNamespace.' : support.hint },
  );
}

/** The runtime, or why it does not work. */
async function tryOci(name: 'runc' | 'crun', context: Context): Promise<OciRuntime | string> {
  const path = findOnPath(name);
  if (!path) {
    const elsewhere = findProgram(name);
    return elsewhere ? `it is in ${elsewhere}, which is not on PATH` : 'it is not installed';
  }
  const { host, oomScore } = context;
  const stateDir = join(context.stateDir, name);
  const make = (version: string, features: OciFeatures) =>
    new OciRuntime({ name, path, version, stateDir, host, features, oomScore });
  const outcome = await context.records.outcome(name, path, async () => {
    const [about, help] = await Promise.all([outputOf(path, ['--version']), outputOf(path, ['run', '--help'])]);
    const version = /version (\S+)/.exec(about)?.[1] ?? 'unknown';
    const features = { cgroups: !host.inUserNamespace, seccomp: /seccomp/i.test(about), keep: help.includes('--keep') };
    const failure = await tryRuntime(make(version, features), context.stateDir);
    if (failure === undefined || !features.seccomp || !/seccomp/i.test(failure)) return { version, features, failure };
    const withoutSeccomp = { ...features, seccomp: false };
    const secondFailure = await tryRuntime(make(version, withoutSeccomp), context.stateDir);
    return { version, features: withoutSeccomp, failure: secondFailure };
  });
  return outcome.failure ?? make(outcome.version, outcome.features!);
}

async function tryEmbedded(context: Context): Promise<EmbeddedRuntime | string> {
  const path = findProgram('unshare');
  if (!path) return 'unshare(1) of util-linux is not installed';
  const { host, oomScore } = context;
  const make = (version: string) => new EmbeddedRuntime({ path, version, host, oomScore });
  const outcome = await context.records.outcome('embedded', path, async (): Promise<TrialOutcome> => {
    const version = /util-linux (\S+)/.exec(await outputOf(path, ['--version']))?.[1] ?? 'unknown';
    return { version, failure: await tryRuntime(make(version), context.stateDir) };
  });
  return outcome.failure ?? make(outcome.version);
}

function warningsOf({ own, mayLower }: OomScoreLimits): string[] {
  if (mayLower) return [];
  return [
    `An oom_score_adj below ${own} is not allowed here (no CAP_SYS_RESOURCE): containers that ask for less get ${own}.`,
  ];
}
