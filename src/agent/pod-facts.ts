import type { RestartPolicy } from '../policy/index.ts';
import type { ContainerFacts } from './container-facts.ts';

export interface SandboxFacts {
  /** It runs, and where pods have addresses of their own it has one. */
  readonly ready: boolean;
  readonly attempt: number;
}

export interface PodFacts {
  readonly restartPolicy: RestartPolicy;
  /** The newest sandbox; undefined when there was none. */
  readonly sandbox: SandboxFacts | undefined;
  readonly initContainers: readonly ContainerFacts[];
  readonly containers: readonly ContainerFacts[];
  readonly ephemeralContainers?: readonly ContainerFacts[];
}
