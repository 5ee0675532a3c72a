import { decideRestart, type RestartPolicy, type RestartRule } from '../policy/index.ts';

export interface SandboxFacts {
  readonly ready: boolean;
  readonly attempt: number;
}

export interface ContainerFacts {
  readonly restartPolicy?: RestartPolicy | undefined;
  readonly restartPolicyRules?: readonly RestartRule[];
  /** The newest instance; undefined when there was none. */
  readonly newest?:
    | { readonly state: 'created' | 'running' | 'exited' | 'unknown'; readonly exitCode: number }
    | undefined;
  /** Start it again whatever its restart policy makes of its exit. */
  readonly restartRequested?: boolean;
}

/** What one pod sync has to do. */
export interface PodActions {
  /** Stop what runs in the pod: its sandbox is gone, or nothing is left to do. */
  readonly killPod: boolean;
  readonly createSandbox: boolean;
  /** Of the sandbox to create, or of the one to keep. */
  readonly attempt: number;
  /** Indexes. */
  readonly containersToStart: readonly number[];
  /** Indexes of containers in an unclear state, which are killed before they are started. */
  readonly containersToKill: readonly number[];
}

/**
 * What a pod needs, from what its sandbox and containers are: for pods of regular containers, the kubelet's
 * `computePodActions`.
 * @see pull-policy.md 12.1
 */
export function podActions(pod: {
  readonly restartPolicy: RestartPolicy;
  /** The newest sandbox; undefined when there was none. */
  readonly sandbox: SandboxFacts | undefined;
  readonly containers: readonly ContainerFacts[];
}): PodActions {
  return pod.sandbox?.ready ? inSandbox(pod, pod.sandbox.attempt) : withoutSandbox(pod);
}

type PodFacts = Parameters<typeof podActions>[0];

function inSandbox({ restartPolicy, containers }: PodFacts, attempt: number): PodActions {
  const containersToStart: number[] = [];
  const containersToKill: number[] = [];
  containers.forEach((container, index) => {
    if (!startsContainer(container, restartPolicy)) return;
    containersToStart.push(index);
    if (container.newest?.state === 'unknown') containersToKill.push(index);
  });
  const keepsNone = containers.every(({ newest }) => newest?.state !== 'running');
  const killPod = keepsNone && containersToStart.length === 0;
  return { killPod, createSandbox: false, attempt, containersToStart, containersToKill };
}

/** A new sandbox starts all containers, except those that are done under OnFailure; pods under Never run only once. */
function withoutSandbox({ restartPolicy, sandbox, containers }: PodFacts): PodActions {
  const attempt = sandbox ? sandbox.attempt + 1 : 0;
  const only = (containersToStart: readonly number[]): PodActions => {
    const createSandbox = containersToStart.length > 0;
    return { killPod: true, createSandbox, attempt, containersToStart, containersToKill: [] };
  };
  const mayRestart = containers.some(({ restartPolicy: own }) => (own ?? restartPolicy) !== 'Never');
  if (!mayRestart && sandbox && containers.some(({ newest }) => newest)) return only([]);
  const succeeded = ({ newest }: ContainerFacts) => newest?.state === 'exited' && newest.exitCode === 0;
  return only(
    [...containers.keys()].filter((index) => {
      const container = containers[index]!;
      return !(succeeded(container) && (container.restartPolicy ?? restartPolicy) === 'OnFailure');
    }),
  );
}

/** Whether a sync starts the container, its sandbox being there. */
export function startsContainer(container: ContainerFacts, podRestartPolicy: RestartPolicy): boolean {
  if (container.restartRequested && container.newest?.state === 'exited') return true;
  return decideRestart({
    podRestartPolicy,
    podDeleting: false,
    containerRestartPolicy: container.restartPolicy,
    restartRules: container.restartPolicyRules ?? [],
    newest: container.newest,
  }).start;
}
