import type { ContainerStatus } from '../cri/messages.ts';
import type { RestartPolicy } from '../policy/index.ts';
import { isSidecar, startsContainer } from './container-facts.ts';
import { gcImageId, statusImage } from './container-image.ts';
import { type ContainerRecord, containerFacts, type WaitingState } from './container-record.ts';
import type { Pod } from './pod.ts';

export interface PodStatus {
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  /** One per container, in the order of the pod. */
  readonly initContainerStatuses: readonly PodContainerStatus[];
  readonly containerStatuses: readonly PodContainerStatus[];
  readonly ephemeralContainerStatuses: readonly PodContainerStatus[];
}

/** The fields of the Kubernetes API, with times in milliseconds since the epoch. */
export interface PodContainerStatus {
  readonly name: string;
  /** Exactly one of the three. */
  readonly state: {
    readonly waiting?: WaitingState;
    readonly running?: { readonly startedAtMs: number };
    readonly terminated?: TerminatedState;
  };
  readonly lastState: { readonly terminated?: TerminatedState };
  readonly restartCount: number;
  /** The runtime's name of the image that the newest instance runs; the pod's text while there is none. */
  readonly image: string;
  /** The runtime's reference to it: a repository digest where it has one; empty while there is no instance. */
  readonly imageID: string;
  /** The runtime's id of it; empty while there is no instance. Not a field of the Kubernetes API. */
  readonly gcImageID: string;
  /** Empty while there is no instance. */
  readonly containerID: string;
}

export interface TerminatedState {
  readonly exitCode: number;
  readonly reason: string;
  readonly message: string;
  /** 0 when it never started. */
  readonly startedAtMs: number;
  readonly finishedAtMs: number;
}

/**
 * @param deleting the pod is being stopped, or has been: nothing will be started again
 * @see pull-policy.md 4 (waiting states) and 11
 */
export function podStatus(
  pod: Pod,
  records: readonly ContainerRecord[],
  { deleting }: { deleting: boolean },
): PodStatus {
  const { restartPolicy } = pod.spec;
  const init = records.filter(({ kind }) => kind === 'initContainers');
  const containers = records.filter(({ kind }) => kind === 'containers');
  const unstarted = init.length > 0 ? 'PodInitializing' : 'ContainerCreating';
  const statusesOf = (list: readonly ContainerRecord[], willStart: readonly boolean[]) =>
    list.map((record, index) => containerStatus(record, { willStart: willStart[index]!, unstarted }));
  const willStart = containers.map((record) => !deleting && startsContainer(containerFacts(record), restartPolicy));
  const initWillStart = init.map((record) => !deleting && initStarts(record, restartPolicy));
  const containerStatuses = statusesOf(containers, willStart);
  const initContainerStatuses = statusesOf(init, initWillStart);
  const ephemeral = records.filter(({ kind }) => kind === 'ephemeralContainers');
  const ephemeralContainerStatuses = ephemeral.map((record) =>
    containerStatus(record, { willStart: !deleting && record.instances.length === 0, unstarted: 'ContainerCreating' }),
  );
  const initialization = initializationOf(init, initWillStart);
  const restarts = willStart.includes(true);
  const phase =
    initialization === 'failed'
      ? 'Failed'
      : phaseOf(containerStatuses, { restarts, deleting, initializing: initialization === 'pending' });
  return { phase, initContainerStatuses, containerStatuses, ephemeralContainerStatuses };
}

/** Whether an init container is started again: not when it has succeeded, unless it is a sidecar. */
function initStarts(record: ContainerRecord, podRestartPolicy: RestartPolicy): boolean {
  const facts = containerFacts(record);
  if (!isSidecar(facts) && facts.newest?.state === 'exited' && facts.newest.exitCode === 0) return false;
  return startsContainer(facts, podRestartPolicy);
}

/** `failed`: an init container has failed and is not started again, so the others never are. */
function initializationOf(
  init: readonly ContainerRecord[],
  willStart: readonly boolean[],
): 'done' | 'pending' | 'failed' {
  const unfinished = [...init.keys()].filter((index) => {
    const { container, instances } = init[index]!;
    return !isSidecar(container) && !(instances[0]?.state === 'CONTAINER_EXITED' && instances[0].exitCode === 0);
  });
  const hasFailed = (index: number) => init[index]!.instances[0]?.state === 'CONTAINER_EXITED' && !willStart[index];
  if (unfinished.some(hasFailed)) return 'failed';
  return unfinished.length > 0 ? 'pending' : 'done';
}

export function toMilliseconds(nanoseconds: bigint): number {
  return Number(nanoseconds / 1_000_000n);
}

function containerStatus(
  { container, instances, waiting }: ContainerRecord,
  { willStart, unstarted }: { willStart: boolean; unstarted: string },
): PodContainerStatus {
  const [newest, previous] = instances;
  const common = {
    name: container.name,
    restartCount: newest?.metadata.attempt ?? 0,
    ...(newest ? statusImage(newest) : { image: container.image, imageID: '' }),
    gcImageID: newest ? gcImageId(newest) : '',
    containerID: newest?.id ?? '',
  };
  if (newest && waiting && willStart) {
    const dead = instances.find(({ state }) => state === 'CONTAINER_EXITED');
    return { ...common, state: { waiting }, lastState: lastState(dead) };
  }
  if (newest?.state === 'CONTAINER_EXITED')
    return { ...common, state: { terminated: terminated(newest) }, lastState: lastState(previous) };
  if (newest?.state === 'CONTAINER_RUNNING')
    return {
      ...common,
      state: { running: { startedAtMs: toMilliseconds(newest.startedAt) } },
      lastState: lastState(previous),
    };
  const state = { waiting: waiting ?? { reason: unstarted, message: '' } };
  return { ...common, state, lastState: lastState(previous) };
}

function lastState(instance: ContainerStatus | undefined): PodContainerStatus['lastState'] {
  return instance?.state === 'CONTAINER_EXITED' ? { terminated: terminated(instance) } : {};
}

function terminated({ exitCode, reason, message, startedAt, finishedAt }: ContainerStatus): TerminatedState {
  return {
    exitCode,
    reason,
    message,
    startedAtMs: toMilliseconds(startedAt),
    finishedAtMs: toMilliseconds(finishedAt),
  };
}

/** @see https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/kubelet/kubelet_pods.go (getPhase) */
function phaseOf(
  statuses: readonly PodContainerStatus[],
  { restarts, deleting, initializing }: { restarts: boolean; deleting: boolean; initializing: boolean },
): PodStatus['phase'] {
  if (initializing && !deleting && !statuses.some(({ state }) => state.running)) return 'Pending';
  if (!deleting && statuses.some(({ state, lastState }) => state.waiting && !lastState.terminated)) return 'Pending';
  if (restarts || statuses.some(({ state }) => state.running)) return 'Running';
  return statuses.every(({ state }) => state.terminated?.exitCode === 0) ? 'Succeeded' : 'Failed';
}
