/** One container of the runtime service: its life from CREATED to EXITED. There is no way back; a restart is a new one. */
import { randomBytes } from 'node:crypto';
import type { ContainerConfig, ContainerState, ContainerStatus } from '../cri/index.ts';
import type { Digest } from '../oci/index.ts';
import type { RunningContainer, RuntimeContainer } from '../runtime/index.ts';

export function newId(): string {
  return randomBytes(32).toString('hex');
}

export function nowNanoseconds(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}

export interface ContainerRecord {
  readonly id: string;
  readonly podSandboxId: string;
  readonly config: ContainerConfig;
  readonly imageId: Digest;
  /** First repository digest of the image when the container was made, else its id. */
  readonly imageRef: string;
  readonly directory: string;
  readonly logPath: string;
  readonly runtimeContainer: RuntimeContainer;
  readonly stopSignal: NodeJS.Signals;
  readonly createdAt: bigint;
  /** Lets the collector have its images. */
  readonly release: () => void;
  state: ContainerState;
  startedAt: bigint;
  finishedAt: bigint;
  exitCode: number;
  reason: string;
  message: string;
  running?: RunningContainer;
  /** Settled when the container is EXITED and what it left behind is gone. */
  ended?: Promise<void>;
}

export function statusOf(container: ContainerRecord): ContainerStatus {
  const { config } = container;
  return {
    id: container.id,
    metadata: config.metadata,
    state: container.state,
    createdAt: container.createdAt,
    startedAt: container.startedAt,
    finishedAt: container.finishedAt,
    exitCode: container.exitCode,
    image: { image: config.image.userSpecifiedImage ?? config.image.image },
    imageRef: container.imageRef,
    imageId: container.imageId,
    reason: container.reason,
    message: container.message,
    labels: config.labels,
    annotations: config.annotations,
    mounts: config.mounts,
    logPath: container.logPath,
  };
}
