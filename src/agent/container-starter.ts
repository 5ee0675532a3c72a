import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { PodSandboxConfig } from '../cri/messages.ts';
import type { ImageService, RuntimeService } from '../cri/services.ts';
import type { Clock } from '../lib/clock.ts';
import { errorHint, errorMessage } from '../lib/errors.ts';
import type { PullPolicy, Reason } from '../policy/index.ts';
import { containerConfig, containerLogPath } from './container-config.ts';
import type { ContainerRecord } from './container-record.ts';
import { containerFieldPath, type EventRecorder } from './events.ts';
import type { ImageEvaluation } from './image-evaluation.ts';
import type { ImageManager } from './image-manager.ts';
import { containerImageVolumes, type ImageVolumePull } from './image-volumes.ts';
import type { Pod } from './pod.ts';

/** One evaluation of a pull policy: what was decided for one start of one container, and why. */
export interface ImageDecision {
  readonly pod: Pod;
  readonly container: string;
  /** `spec.containers{web}`, as in the container's events. */
  readonly fieldPath: string;
  /** 0 for the first start; the restart count of the container if it starts. */
  readonly attempt: number;
  readonly image: string;
  readonly policy: PullPolicy;
  readonly decision: 'pull' | 'use-local' | 'refuse';
  readonly reasons: readonly Reason[];
  /** Whether the node had the image; `unknown` when the policy does not ask, or the runtime could not answer. */
  readonly present: boolean | 'unknown';
  /** Id of the image that runs; undefined when none does. */
  readonly imageRef?: string | undefined;
  /** Whether a pull has succeeded for this start. */
  readonly pulled: boolean;
  /** See `ImageEvaluation`. */
  readonly error?: string | undefined;
  readonly message: string;
  readonly atMs: number;
}

export interface StarterDependencies {
  readonly images: ImageService;
  readonly runtime: RuntimeService;
  readonly imageManager: ImageManager;
  readonly events: EventRecorder;
  readonly clock: Clock;
  readonly onDecision: (decision: ImageDecision) => void;
  /** Called before the container starts, so that none of its output is missed. */
  readonly onLog: (containerId: string, container: string, logPath: string) => void;
}

export interface SandboxRef {
  readonly id: string;
  readonly config: PodSandboxConfig;
}

/**
 * One start of one container, in the kubelet's order: image volumes, pull policy, configuration, creation, start; with its events.
 * @returns whether it runs; if not, the record says why it waits
 * @throws the signal's reason when the pod is stopped meanwhile
 * @see pull-policy.md 3
 */
export async function startContainer(
  deps: StarterDependencies,
  start: {
    pod: Pod;
    record: ContainerRecord;
    sandbox: SandboxRef;
    imageVolumes: ReadonlyMap<string, ImageVolumePull>;
    signal: AbortSignal;
  },
): Promise<boolean> {
  const { pod, record, sandbox, signal } = start;
  const { container } = record;
  const fieldPath = containerFieldPath(record);
  const failed = (reason: string, message: string, more: { detail?: string; hint?: string | undefined }): boolean => {
    const { detail = message, hint } = more;
    deps.events.record(pod, fieldPath, { type: 'Warning', reason: 'Failed', message: `Error: ${detail}`, hint });
    record.waiting = { reason, message };
    return false;
  };

  const mounted = container.imageMounts.map(({ volume }) => volume);
  const images = containerImageVolumes(start.imageVolumes, mounted);
  if ('failures' in images) {
    for (const { error, message } of images.failures) failed(error, message, { detail: error });
    return false;
  }

  const evaluation = await deps.imageManager.ensureImageExists(pod, {
    image: container.image,
    policy: container.imagePullPolicy,
    fieldPath,
    sandboxConfig: sandbox.config,
    signal,
  });
  deps.onDecision(decisionOf(start, evaluation, deps.clock.now()));
  if (evaluation.error !== undefined) {
    const { error, message, hint } = evaluation;
    return failed(error, message, { detail: error, hint });
  }
  signal.throwIfAborted();

  const attempt = record.nextAttempt;
  const imageRef = evaluation.imageRef!;
  let config: ReturnType<typeof containerConfig>;
  try {
    // By id, where the kubelet asks by the text of the pod: a tag that moves meanwhile must not give another image's user.
    const image = await deps.images.imageStatus({ image: imageRef });
    config = containerConfig(pod, container, { attempt, imageRef, image, imageVolumes: images.volumes });
    await mkdir(dirname(join(sandbox.config.logDirectory, config.logPath)), { recursive: true });
  } catch (error) {
    return failed('CreateContainerConfigError', errorMessage(error), { hint: errorHint(error) });
  }

  let containerId: string;
  try {
    ({ containerId } = await deps.runtime.createContainer({
      podSandboxId: sandbox.id,
      config,
      sandboxConfig: sandbox.config,
    }));
  } catch (error) {
    return failed('CreateContainerError', errorMessage(error), { hint: errorHint(error) });
  }
  record.nextAttempt = attempt + 1;
  record.starting = containerId;
  deps.events.record(pod, fieldPath, { type: 'Normal', reason: 'Created', message: 'Container created' });
  deps.onLog(containerId, container.name, join(sandbox.config.logDirectory, containerLogPath(container.name, attempt)));

  let startError: unknown;
  try {
    await deps.runtime.startContainer(containerId);
  } catch (error) {
    startError = error;
  }
  const status = await deps.runtime.containerStatus(containerId);
  record.instances = [status, ...record.instances];
  record.starting = undefined;
  record.restartRequested = false;
  if (startError !== undefined) {
    return failed('RunContainerError', errorMessage(startError), { hint: errorHint(startError) });
  }
  deps.events.record(pod, fieldPath, { type: 'Normal', reason: 'Started', message: 'Container started' });
  record.waiting = undefined;
  return true;
}

function decisionOf(
  { pod, record }: { pod: Pod; record: ContainerRecord },
  { decision, present, imageRef, error, message }: ImageEvaluation,
  atMs: number,
): ImageDecision {
  const { name, image, imagePullPolicy } = record.container;
  return {
    pod,
    container: name,
    fieldPath: containerFieldPath(record),
    attempt: record.nextAttempt,
    image,
    policy: imagePullPolicy,
    decision: decision.action,
    reasons: decision.reasons,
    present,
    imageRef,
    pulled: decision.action === 'pull' && error === undefined,
    error,
    message,
    atMs,
  };
}
