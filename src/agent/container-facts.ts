import { decideRestart, type RestartPolicy, type RestartRule } from '../policy/index.ts';

export type ProbeResult = 'success' | 'failure' | 'unknown';

/** What decides about the next step of a container. */
export interface ContainerFacts {
  readonly name: string;
  /** Of a container, its own; `Always` makes an init container a sidecar. */
  readonly restartPolicy?: RestartPolicy | undefined;
  readonly restartPolicyRules?: readonly RestartRule[] | undefined;
  /** The newest instance; undefined when there was none. */
  readonly newest?:
    | { readonly state: 'created' | 'running' | 'exited' | 'unknown'; readonly exitCode: number }
    | undefined;
  /** Start it again whatever its restart policy makes of its exit. */
  readonly restartRequested?: boolean | undefined;
  /** The pod now says another name or image than the newest instance was made from. */
  readonly specChanged?: boolean | undefined;
  readonly hasStartupProbe?: boolean | undefined;
  /** Last results of its probes; undefined before the first. */
  readonly startup?: ProbeResult | undefined;
  readonly liveness?: ProbeResult | undefined;
}

export interface ContainerToKill {
  readonly kind: 'initContainers' | 'containers';
  readonly index: number;
  /** For the event, in the kubelet's words. */
  readonly message: string;
}

/** Whether a sync starts the container, its sandbox being there and the pod initialised. */
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

/** Init containers that restart run beside the others for the life of the pod. */
export function isSidecar({ restartPolicy }: Pick<ContainerFacts, 'restartPolicy'>): boolean {
  return restartPolicy === 'Always';
}

/** Why a running container must not go on; undefined when it may. */
export function runningProblem(what: string, container: ContainerFacts): string | undefined {
  const { name, specChanged, liveness, startup } = container;
  if (specChanged) return `${what} ${name} definition changed`;
  if (liveness === 'failure') return `${what} ${name} failed liveness probe`;
  if (startup === 'failure') return `${what} ${name} failed startup probe`;
  return undefined;
}

export function unknownStateMessage(what: string): string {
  return `${what} is in "unknown" state, try killing it before restart`;
}
