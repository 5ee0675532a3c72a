import {
  type ContainerFacts,
  type ContainerToKill,
  runningProblem,
  startsContainer,
  unknownStateMessage,
} from './container-facts.ts';
import { initContainerActions } from './init-container-actions.ts';
import type { PodFacts } from './pod-facts.ts';

/** What one pod sync has to do. Containers are indexes, in the order in which they are started. */
export interface PodActions {
  /** Stop what runs in the pod: its sandbox is gone, or nothing is left to do. */
  readonly killPod: boolean;
  readonly createSandbox: boolean;
  /** Of the sandbox to create, or of the one to keep. */
  readonly attempt: number;
  readonly initContainersToStart: readonly number[];
  readonly containersToStart: readonly number[];
  readonly ephemeralContainersToStart: readonly number[];
  /** Containers that run, or may run, but must not go on as they are. */
  readonly containersToKill: readonly ContainerToKill[];
}

/**
 * What a pod needs, from what its sandbox and containers are: the kubelet's `computePodActions`.
 * @see pull-policy.md 12.1
 */
export function podActions(pod: PodFacts): PodActions {
  return pod.sandbox?.ready ? inSandbox(pod, pod.sandbox.attempt) : withoutSandbox(pod);
}

function inSandbox(pod: PodFacts, attempt: number): PodActions {
  const init = initContainerActions(pod);
  // Ephemeral containers start once, whatever the others do.
  const ephemeralContainersToStart = indexesOf(pod.ephemeralContainers ?? [], ({ newest }) => !newest);
  const common = { createSandbox: false, attempt, ephemeralContainersToStart };
  const { initContainersToStart, containersToKill: initToKill } = init;
  if (init.killPod || !init.initialized) {
    const { killPod } = init;
    return { ...common, killPod, initContainersToStart, containersToStart: [], containersToKill: initToKill };
  }
  const { containersToStart, containersToKill, keepsAny } = regularContainerActions(pod);
  const killPod = !keepsAny && containersToStart.length === 0;
  return {
    ...common,
    killPod,
    // Sidecars must not keep a pod alive whose containers are done.
    initContainersToStart: killPod ? [] : initContainersToStart,
    containersToStart,
    containersToKill: [...initToKill, ...containersToKill],
  };
}

function regularContainerActions({ restartPolicy, containers }: PodFacts): {
  containersToStart: number[];
  containersToKill: ContainerToKill[];
  keepsAny: boolean;
} {
  const containersToStart: number[] = [];
  const containersToKill: ContainerToKill[] = [];
  let keepsAny = false;
  containers.forEach((container, index) => {
    const kill = (message: string) => containersToKill.push({ kind: 'containers', index, message });
    if (container.newest?.state !== 'running') {
      if (!startsContainer(container, restartPolicy)) return;
      containersToStart.push(index);
      if (container.newest?.state === 'unknown') kill(unknownStateMessage('Container'));
      return;
    }
    const problem = runningProblem('Container', container);
    if (problem === undefined) {
      keepsAny = true;
      return;
    }
    const restarts = container.specChanged || (container.restartPolicy ?? restartPolicy) !== 'Never';
    if (restarts) containersToStart.push(index);
    kill(restarts ? `${problem}, will be restarted` : problem);
  });
  return { containersToStart, containersToKill, keepsAny };
}

/** A new sandbox starts all containers, except those that are done under OnFailure; pods under Never run only once. */
function withoutSandbox(pod: PodFacts): PodActions {
  const { restartPolicy, sandbox, initContainers, containers, ephemeralContainers = [] } = pod;
  const attempt = sandbox ? sandbox.attempt + 1 : 0;
  const actions = { killPod: true, attempt, ephemeralContainersToStart: [], containersToKill: [] };
  const nothing = { ...actions, createSandbox: false, initContainersToStart: [], containersToStart: [] };
  const mayRestart = containers.some(({ restartPolicy: own }) => (own ?? restartPolicy) !== 'Never');
  const hasRun = [...initContainers, ...containers, ...ephemeralContainers].some(({ newest }) => newest);
  if (!mayRestart && sandbox && hasRun) return nothing;
  const containersToStart = indexesOf(containers, (container) => {
    const succeeded = container.newest?.state === 'exited' && container.newest.exitCode === 0;
    return !(succeeded && (container.restartPolicy ?? restartPolicy) === 'OnFailure');
  });
  if (containersToStart.length === 0) return nothing;
  if (initContainers.length === 0) {
    return { ...actions, createSandbox: true, initContainersToStart: [], containersToStart };
  }
  return { ...actions, createSandbox: true, initContainersToStart: [0], containersToStart: [] };
}

function indexesOf(containers: readonly ContainerFacts[], matches: (container: ContainerFacts) => boolean): number[] {
  return [...containers.keys()].filter((index) => matches(containers[index]!));
}
