import type { ContainerStatus } from '../cri/messages.ts';
import type { ContainerFacts } from './container-facts.ts';
import type { ContainerKind, PodContainer } from './pod.ts';

/** Why a container does not run: the waiting state of the Kubernetes API. */
export interface WaitingState {
  readonly reason: string;
  readonly message: string;
}

/** What a pod worker knows about one container. */
export interface ContainerRecord {
  readonly kind: ContainerKind;
  readonly container: PodContainer;
  /** As last seen, newest first. */
  instances: readonly ContainerStatus[];
  /** Id of the instance that is being started: it may end before anything else is known of it. */
  starting: string | undefined;
  /** Number of the next instance: 0 for the first, so it is also the restart count. */
  nextAttempt: number;
  /** Why the last start did not succeed; undefined before the first and after a successful one. */
  waiting: WaitingState | undefined;
  /** The user has asked for a restart, so the next start happens whatever the exit code says. */
  restartRequested: boolean;
}

export function newRecord(kind: ContainerKind, container: PodContainer): ContainerRecord {
  return {
    kind,
    container,
    instances: [],
    starting: undefined,
    nextAttempt: 0,
    waiting: undefined,
    restartRequested: false,
  };
}

/** Whether the container `id` is one of the record's. */
export function hasInstance({ instances, starting }: ContainerRecord, id: string): boolean {
  return starting === id || instances.some((instance) => instance.id === id);
}

/** The record as the restart rules see it. */
export function containerFacts({ container, instances, restartRequested }: ContainerRecord): ContainerFacts {
  const { name, restartPolicy, restartPolicyRules } = container;
  const [newest] = instances;
  return {
    name,
    restartPolicy,
    restartPolicyRules,
    restartRequested,
    newest: newest && { state: states[newest.state], exitCode: newest.exitCode },
  };
}

const states = {
  CONTAINER_CREATED: 'created',
  CONTAINER_RUNNING: 'running',
  CONTAINER_EXITED: 'exited',
  CONTAINER_UNKNOWN: 'unknown',
} as const;

export function isRunning(instance: ContainerStatus | undefined): boolean {
  return instance?.state === 'CONTAINER_RUNNING';
}
