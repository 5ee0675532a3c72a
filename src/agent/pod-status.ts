import type { ContainerStatus } from '../cri/messages.ts';
import { statusImage } from './container-image.ts';
import { type ContainerRecord, containerFacts, type WaitingState } from './container-record.ts';
import type { Pod } from './pod.ts';
import { startsContainer } from './pod-actions.ts';

export interface PodStatus {
  readonly phase: 'Pending' | 'Running' | 'Succeeded' | 'Failed';
  /** One per container, in the order of the pod. */
  readonly containerStatuses: readonly PodContainerStatus[];
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
  containers: readonly ContainerRecord[],
  { deleting }: { deleting: boolean },
): PodStatus {
  const willStart = containers.map(
    (record) => !deleting && startsContainer(containerFacts(record), pod.spec.restartPolicy),
  );
  const containerStatuses = containers.map((record, index) => containerStatus(record, willStart[index]!));
  return { phase: phaseOf(containerStatuses, { restarts: willStart.includes(true), deleting }), containerStatuses };
}

export function toMilliseconds(nanoseconds: bigint): number {
  return Number(nanoseconds / 1_000_000n);
}

function containerStatus({ container, instances, waiting }: ContainerRecord, willStart: boolean): PodContainerStatus {
  const [newest, previous] = instances;
  const common = {
    name: container.name,
    restartCount: newest?.metadata.attempt ?? 0,
    ...(newest ? statusImage(newest) : { image: container.image, imageID: '' }),
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
  const state = { waiting: waiting ?? { reason: 'ContainerCreating', message: '' } };
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
  { restarts, deleting }: { restarts: boolean; deleting: boolean },
): PodStatus['phase'] {
  if (!deleting && statuses.some(({ state, lastState }) => state.waiting && !lastState.terminated)) return 'Pending';
  if (restarts || statuses.some(({ state }) => state.running)) return 'Running';
  return statuses.every(({ state }) => state.terminated?.exitCode === 0) ? 'Succeeded' : 'Failed';
}
