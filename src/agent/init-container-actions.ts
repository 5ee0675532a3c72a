import type { RestartPolicy } from '../policy/index.ts';
import {
  type ContainerFacts,
  type ContainerToKill,
  isSidecar,
  startsContainer,
  unknownStateMessage,
} from './container-facts.ts';
import type { PodFacts } from './pod-facts.ts';

export interface InitContainerActions {
  /** An init container has failed for good. */
  readonly killPod: boolean;
  /** The regular containers may start. */
  readonly initialized: boolean;
  readonly initContainersToStart: readonly number[];
  readonly containersToKill: readonly ContainerToKill[];
}

/**
 * How far the init containers of a pod are, and which to start: the kubelet's `computeInitContainerActions`. It looks at
 * the last one first, because instances of earlier ones may have been removed since they ended.
 * @see pull-policy.md 12.1
 */
export function initContainerActions({ restartPolicy, initContainers, containers }: PodFacts): InitContainerActions {
  // An exited regular container may be one of an earlier sandbox, and says nothing.
  const hasStarted = containers.some(({ newest }) => newest?.state === 'created' || newest?.state === 'running');
  const progress = new Progress(initContainers, { initialized: hasStarted || initContainers.length === 0 });
  for (let index = initContainers.length - 1; index >= 0; index--) {
    const container = initContainers[index]!;
    if (!container.newest) {
      if (progress.isLaterStarted && isSidecar(container)) progress.start(index);
      continue;
    }
    if (progress.isLaterStarted && !isSidecar(container)) continue;
    if (isSidecar(container)) lookAtSidecar(progress, container, index);
    else if (!lookAtInitContainer(progress, container, index, restartPolicy)) {
      return { killPod: true, initialized: false, initContainersToStart: [], containersToKill: progress.toKill };
    }
    progress.isLaterStarted = true;
  }
  if (!progress.isLaterStarted) progress.start(0);
  const initContainersToStart = progress.toStart.reverse();
  return {
    killPod: false,
    initialized: progress.initialized,
    initContainersToStart,
    containersToKill: progress.toKill,
  };
}

class Progress {
  readonly toStart: number[] = [];
  readonly toKill: ContainerToKill[] = [];
  initialized: boolean;
  /** A container that comes later has been started, so all before it were ready. */
  isLaterStarted: boolean;
  readonly #count: number;

  constructor(initContainers: readonly ContainerFacts[], { initialized }: { initialized: boolean }) {
    this.initialized = initialized;
    this.isLaterStarted = initialized;
    this.#count = initContainers.length;
  }

  start(index: number): void {
    this.toStart.push(index);
  }

  restart(index: number, message: string): void {
    this.toKill.push({ kind: 'initContainers', index, message });
    this.start(index);
  }

  /** This one is ready: what comes next may start. */
  ready(index: number): void {
    if (index === this.#count - 1) this.initialized = true;
    else if (!this.isLaterStarted) this.start(index + 1);
  }
}

function lookAtSidecar(progress: Progress, container: ContainerFacts, index: number): void {
  const { name, newest, specChanged, hasStartupProbe, startup, liveness } = container;
  if (newest?.state === 'unknown') {
    progress.restart(index, unknownStateMessage('Init container'));
  } else if (newest?.state !== 'running') {
    progress.start(index);
  } else if (hasStartupProbe && startup !== 'success') {
    if (startup === 'failure') progress.restart(index, `Init container ${name} failed startup probe`);
  } else {
    progress.ready(index);
    if (specChanged) progress.restart(index, `Init container ${name} definition changed`);
    else if (liveness === 'failure') progress.restart(index, `Init container ${name} failed liveness probe`);
  }
}

/** @returns false when the pod must end because of it */
function lookAtInitContainer(
  progress: Progress,
  container: ContainerFacts,
  index: number,
  podRestartPolicy: RestartPolicy,
): boolean {
  const { newest, restartPolicy } = container;
  if (newest?.state === 'running') return true;
  if (newest?.state === 'unknown') {
    if ((restartPolicy ?? podRestartPolicy) === 'Never') return false;
    progress.restart(index, unknownStateMessage('Init container'));
  } else if (newest?.state === 'exited' && newest.exitCode === 0) {
    progress.ready(index);
  } else {
    // Created and not running: it is created and started in one step, so its start has failed.
    if (!startsContainer(container, podRestartPolicy)) return false;
    progress.start(index);
  }
  return true;
}
