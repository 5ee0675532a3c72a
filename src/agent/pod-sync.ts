import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CriError } from '../cri/error.ts';
import type { Container, ContainerStatus } from '../cri/messages.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import { type Backoff, checkCrashLoop } from '../policy/index.ts';
import { sandboxConfig } from './container-config.ts';
import { isSidecar } from './container-facts.ts';
import { type ContainerRecord, containerFacts, isRunning, newRecord } from './container-record.ts';
import { type SandboxRef, type StarterDependencies, startContainer } from './container-starter.ts';
import { criErrorText } from './cri-error-text.ts';
import { containerFieldPath, type EventText } from './events.ts';
import { type ImageVolumePull, pullImageVolumes } from './image-volumes.ts';
import type { ContainerKind, Pod } from './pod.ts';
import { type PodActions, podActions } from './pod-actions.ts';
import type { SandboxFacts } from './pod-facts.ts';
import type { PodLogs } from './pod-logs.ts';
import { toMilliseconds } from './pod-status.ts';

const log = debugLog('agent');

export interface SyncDependencies extends Omit<StarterDependencies, 'onLog'> {
  /** Shared by all pods. */
  readonly crashLoop: Backoff;
  /** Directory for the logs of all pods. */
  readonly logRoot: string;
}

export interface SyncResult {
  /** Nothing runs and nothing will be started again. */
  readonly done: boolean;
  /** Something that should run does not. */
  readonly failed: boolean;
  /** What was started lets something else start at once: the next sync must not wait for an event. */
  readonly again?: boolean;
  /** When the earliest of the delays between restarts ends; undefined when none is running. */
  readonly retryAtMs: number | undefined;
}

interface StartOutcome {
  failed: boolean;
  retryAtMs: number | undefined;
  /** An init container does not run, so nothing after it may be started. */
  stopped: boolean;
  startedSidecar: boolean;
}

/**
 * Brings one pod nearer to what it should be: the kubelet's `SyncPod`. Everything in it happens one after another, also
 * the pulls of different containers.
 * @see pull-policy.md 3
 */
export class PodSync {
  /** Init containers before the others. */
  readonly records: readonly ContainerRecord[];
  readonly #pod: Pod;
  readonly #deps: SyncDependencies;
  readonly #logs: PodLogs;
  readonly #logDirectory: string;
  /** Oldest first; the last one is where containers are started. */
  #sandboxes: readonly SandboxRef[] = [];
  /** What the last sync made of them, by name. */
  #imageVolumes: ReadonlyMap<string, ImageVolumePull> = new Map();
  /** Sandboxes that had containers when they were last listed. */
  #occupied: ReadonlySet<string> = new Set();

  constructor(pod: Pod, deps: SyncDependencies, logs: PodLogs) {
    this.#pod = pod;
    this.#deps = deps;
    this.#logs = logs;
    const { namespace, name, uid } = pod.metadata;
    this.#logDirectory = join(deps.logRoot, `${namespace}_${name}_${uid}`);
    this.records = [
      ...pod.spec.initContainers.map((container) => newRecord('initContainers', container)),
      ...pod.spec.containers.map((container) => newRecord('containers', container)),
      ...pod.spec.ephemeralContainers.map((container) => newRecord('ephemeralContainers', container)),
    ];
  }

  /** @throws the signal's reason when the pod is stopped meanwhile */
  async sync(signal: AbortSignal): Promise<SyncResult> {
    let actions: PodActions;
    try {
      await this.refresh();
      actions = podActions({
        restartPolicy: this.#pod.spec.restartPolicy,
        sandbox: await this.#sandboxFacts(),
        initContainers: this.#recordsOf('initContainers').map(containerFacts),
        containers: this.#recordsOf('containers').map(containerFacts),
        ephemeralContainers: this.#recordsOf('ephemeralContainers').map(containerFacts),
      });
    } catch (error) {
      this.#event({
        type: 'Warning',
        reason: 'FailedSync',
        message: `error determining status: ${criErrorText(error)}`,
      });
      return { done: false, failed: true, retryAtMs: undefined };
    }
    const prepared = (await this.#prepareSandbox(actions)) && (await this.#killUnwanted(actions));
    if (!prepared) return { done: false, failed: true, retryAtMs: undefined };
    this.#tellOfMissingSecrets();
    const { initContainersToStart, containersToStart } = actions;
    const stays = actions.createSandbox || !actions.killPod;
    if (stays) await this.#pullImageVolumes(signal);
    const ephemeralContainersToStart = stays ? actions.ephemeralContainersToStart : [];
    const ephemeral = await this.#startAll('ephemeralContainers', ephemeralContainersToStart, signal);
    const outcome = await this.#startAll('initContainers', initContainersToStart, signal);
    outcome.failed ||= ephemeral.failed;
    if (!outcome.stopped) {
      const { failed, retryAtMs } = await this.#startAll('containers', containersToStart, signal);
      outcome.failed ||= failed;
      outcome.retryAtMs = earliest(outcome.retryAtMs, retryAtMs);
    }
    await this.#prune();
    const isIdle = initContainersToStart.length + containersToStart.length === 0;
    const { failed, retryAtMs, startedSidecar } = outcome;
    // Into a new sandbox ephemeral containers come with the next sync, which in the kubelet the others' start brings about.
    const again = startedSidecar || (actions.createSandbox && this.#recordsOf('ephemeralContainers').length > 0);
    return { done: isIdle && actions.killPod, failed, retryAtMs, again };
  }

  /** Asks the runtime what became of the pod's containers, and reads the logs of those that have ended. */
  async refresh(): Promise<void> {
    const all = await this.#deps.runtime.listContainers();
    const own = all.filter(({ labels }) => labels['io.kubernetes.pod.uid'] === this.#pod.metadata.uid);
    this.#occupied = new Set(own.map(({ podSandboxId }) => podSandboxId));
    for (const record of this.records) {
      const instances = own
        .filter(({ metadata }) => metadata.name === record.container.name)
        .toSorted((a, b) => b.metadata.attempt - a.metadata.attempt);
      const statuses = await Promise.all(instances.map((instance) => this.#statusOf(record, instance)));
      record.instances = statuses.filter((status) => status !== undefined);
      record.nextAttempt = Math.max(record.nextAttempt, (instances[0]?.metadata.attempt ?? -1) + 1);
    }
  }

  /**
   * Stops all containers that run, each with an event: side by side, but sidecars after the others and in reverse order.
   * All of them share the grace period.
   */
  async stopContainers(gracePeriodSeconds: number): Promise<void> {
    const running = this.records.filter(({ instances }) => isRunning(instances[0]));
    const sidecars = running.filter(isSidecarRecord);
    const others = running.filter((record) => !isSidecarRecord(record));
    const endMs = this.#deps.clock.now() + gracePeriodSeconds * 1000;
    await allOrFirstError(others.map((record) => this.stopContainer(record, gracePeriodSeconds)));
    for (const sidecar of sidecars.toReversed()) {
      const leftSeconds = Math.ceil((endMs - this.#deps.clock.now()) / 1000);
      await this.stopContainer(sidecar, Math.max(leftSeconds, Math.min(gracePeriodSeconds, leastGraceSeconds)));
    }
  }

  /** Stops the newest instance of one container. */
  async stopContainer(
    record: ContainerRecord,
    gracePeriodSeconds: number,
    message = `Stopping container ${record.container.name}`,
  ): Promise<void> {
    this.#event({ type: 'Normal', reason: 'Killing', message }, containerFieldPath(record));
    await this.#deps.runtime.stopContainer(record.instances[0]!.id, gracePeriodSeconds);
  }

  /** Ends what is left in the pod's sandboxes, without grace. */
  async stopSandboxes(): Promise<void> {
    await allOrFirstError(this.#sandboxes.map(({ id }) => this.#deps.runtime.stopPodSandbox(id)));
  }

  /** Removes the pod's sandboxes and containers. What they have logged stays. */
  async removeSandboxes(): Promise<void> {
    await allOrFirstError(this.#sandboxes.map(({ id }) => this.#deps.runtime.removePodSandbox(id)));
    this.#sandboxes = [];
  }

  /** Makes the sandbox ready for its containers; false when that failed. */
  async #prepareSandbox({ killPod, createSandbox, attempt }: PodActions): Promise<boolean> {
    if (killPod && this.#sandboxes.length > 0 && !(await this.#killPod({ createSandbox }))) return false;
    if (!createSandbox) return true;
    const config = sandboxConfig(this.#pod, attempt, this.#logDirectory);
    try {
      await mkdir(this.#logDirectory, { recursive: true });
      const { podSandboxId } = await this.#deps.runtime.runPodSandbox(config);
      this.#sandboxes = [...this.#sandboxes, { id: podSandboxId, config }];
      return true;
    } catch (error) {
      const message = `Failed to create pod sandbox: ${criErrorText(error)}`;
      this.#event({ type: 'Warning', reason: 'FailedCreatePodSandBox', message });
      return false;
    }
  }

  async #killPod({ createSandbox }: { createSandbox: boolean }): Promise<boolean> {
    if (createSandbox) {
      const message = 'Pod sandbox changed, it will be killed and re-created.';
      this.#event({ type: 'Normal', reason: 'SandboxChanged', message });
    }
    try {
      await this.stopContainers(minimumGraceSeconds(this.#pod));
      await this.stopSandboxes();
      await this.refresh();
      if (createSandbox) await this.#forgetInitContainers();
      return true;
    } catch (error) {
      this.#event({ type: 'Warning', reason: 'FailedKillPod', message: `error killing pod: ${criErrorText(error)}` });
      return false;
    }
  }

  /** In a new sandbox initialisation begins again, so nothing of an earlier one may be taken for it. */
  async #forgetInitContainers(): Promise<void> {
    for (const record of this.#recordsOf('initContainers')) {
      for (const instance of record.instances) await this.#removeInstance(record, instance);
    }
  }

  #tellOfMissingSecrets(): void {
    const { imagePullSecrets, pullSecrets } = this.#pod;
    const missing = imagePullSecrets.filter((name) => !pullSecrets.some((secret) => secret.name === name));
    if (missing.length === 0) return;
    const message = `Unable to retrieve some image pull secrets (${missing.join(', ')}); attempting to pull the image may not succeed.`;
    this.#event({ type: 'Warning', reason: 'FailedToRetrieveImagePullSecret', message });
  }

  /** At every sync, also when no container is to be started. */
  async #pullImageVolumes(signal: AbortSignal): Promise<void> {
    const sandboxConfig = this.#sandboxes.at(-1)!.config;
    const { imageVolumes } = this.#pod.spec;
    this.#imageVolumes = await pullImageVolumes(this.#deps.imageManager, this.#pod, imageVolumes, {
      sandboxConfig,
      signal,
    });
  }

  /** Stops containers that must not go on; false when that failed. */
  async #killUnwanted({ killPod, containersToKill }: PodActions): Promise<boolean> {
    if (killPod) return true;
    try {
      for (const { kind, index, message } of containersToKill) {
        await this.stopContainer(this.#recordsOf(kind)[index]!, minimumGraceSeconds(this.#pod), message);
      }
      return true;
    } catch (error) {
      const message = `error killing containers: ${criErrorText(error)}`;
      this.#event({ type: 'Warning', reason: 'FailedKillPod', message });
      return false;
    }
  }

  async #startAll(kind: ContainerKind, indexes: readonly number[], signal: AbortSignal): Promise<StartOutcome> {
    const outcome: StartOutcome = { failed: false, retryAtMs: undefined, stopped: false, startedSidecar: false };
    for (const index of indexes) {
      const record = this.#recordsOf(kind)[index]!;
      signal.throwIfAborted();
      const retryAtMs = this.#crashLoopEnd(record);
      outcome.retryAtMs = earliest(outcome.retryAtMs, retryAtMs);
      if (retryAtMs === undefined && (await this.#start(record, signal))) {
        outcome.startedSidecar ||= isSidecarRecord(record);
        continue;
      }
      outcome.failed = true;
      if (kind === 'initContainers' && !isSidecarRecord(record)) return { ...outcome, stopped: true };
    }
    return outcome;
  }

  #start(record: ContainerRecord, signal: AbortSignal): Promise<boolean> {
    const onLog = (id: string, container: string, path: string) => this.#logs.follow(id, container, path);
    const sandbox = this.#sandboxes.at(-1)!;
    return startContainer(
      { ...this.#deps, onLog },
      {
        pod: this.#pod,
        record,
        sandbox,
        imageVolumes: this.#imageVolumes,
        signal,
      },
    );
  }

  /** When the delay before the container's next start ends; undefined when it may start now. */
  #crashLoopEnd(record: ContainerRecord): number | undefined {
    const exited = record.instances.find(({ state }) => state === 'CONTAINER_EXITED');
    const wait = checkCrashLoop(this.#deps.crashLoop, {
      pod: this.#pod.metadata,
      container: record.container,
      lastExitMs: exited && toMilliseconds(exited.finishedAt),
      atMs: this.#deps.clock.now(),
    });
    if (!wait) return undefined;
    this.#deps.events.record(this.#pod, containerFieldPath(record), wait.event);
    record.waiting = { reason: wait.error, message: wait.message };
    return wait.retryAtMs;
  }

  /** Of each container the newest dead instance stays, for its status and its log; older ones go, as in the kubelet. */
  async #prune(): Promise<void> {
    for (const record of this.records) {
      const dead = record.instances.filter((instance) => !isRunning(instance));
      for (const instance of dead.slice(1)) {
        await this.#attempt(`remove dead container ${instance.id}`, () => this.#removeInstance(record, instance));
      }
    }
    for (const { id } of this.#sandboxes.slice(0, -1).filter((sandbox) => !this.#occupied.has(sandbox.id))) {
      await this.#attempt(`remove dead sandbox ${id}`, async () => {
        await this.#deps.runtime.removePodSandbox(id);
        this.#sandboxes = this.#sandboxes.filter((sandbox) => sandbox.id !== id);
      });
    }
  }

  async #removeInstance(record: ContainerRecord, instance: ContainerStatus): Promise<void> {
    // Before it goes, so that its going wakes nobody; if it stays, the next sync finds it again.
    record.instances = record.instances.filter(({ id }) => id !== instance.id);
    await this.#deps.runtime.removeContainer(instance.id);
    await this.#logs.close(instance.id);
    if (instance.logPath) await rm(instance.logPath, { force: true });
  }

  #recordsOf(kind: ContainerKind): readonly ContainerRecord[] {
    return this.records.filter((record) => record.kind === kind);
  }

  /** Tidying that the next sync tries again when it fails. */
  async #attempt(what: string, action: () => Promise<void>): Promise<void> {
    try {
      await action();
    } catch (error) {
      log('cannot %s: %s', what, errorMessage(error));
    }
  }

  #event(event: EventText, fieldPath?: string): void {
    this.#deps.events.record(this.#pod, fieldPath, event);
  }

  async #statusOf(record: ContainerRecord, { id }: Container): Promise<ContainerStatus | undefined> {
    const known = record.instances.find((instance) => instance.id === id);
    if (known?.state === 'CONTAINER_EXITED') return known;
    try {
      const status = await this.#deps.runtime.containerStatus(id);
      if (status.state === 'CONTAINER_EXITED') await this.#logs.drain(id);
      return status;
    } catch (error) {
      if (error instanceof CriError && error.status === 'NOT_FOUND') return undefined;
      throw error;
    }
  }

  async #sandboxFacts(): Promise<SandboxFacts | undefined> {
    const sandbox = this.#sandboxes.at(-1);
    if (!sandbox) return undefined;
    const { attempt } = sandbox.config.metadata;
    try {
      const { state } = await this.#deps.runtime.podSandboxStatus(sandbox.id);
      return { ready: state === 'SANDBOX_READY', attempt };
    } catch (error) {
      if (error instanceof CriError && error.status === 'NOT_FOUND') return { ready: false, attempt };
      throw error;
    }
  }
}

/** The kubelet gives every container at least two seconds to end by itself. */
const leastGraceSeconds = 2;

export function minimumGraceSeconds(pod: Pod): number {
  return Math.max(leastGraceSeconds, pod.spec.terminationGracePeriodSeconds);
}

function isSidecarRecord({ kind, container }: ContainerRecord): boolean {
  return kind === 'initContainers' && isSidecar(container);
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}

/** Waits for all, so that one failure keeps nothing else from being done; then throws the first. */
async function allOrFirstError(tasks: readonly Promise<void>[]): Promise<void> {
  const outcomes = await Promise.allSettled(tasks);
  const failure = outcomes.find((outcome) => outcome.status === 'rejected');
  if (failure) throw failure.reason;
}
