import type { Clock } from '../lib/clock.ts';
import { errorMessage, LadingError } from '../lib/errors.ts';
import { crashLoopKey, goQuote } from '../policy/index.ts';
import { hasInstance, isRunning } from './container-record.ts';
import { containerFieldPath, type EventRecorder } from './events.ts';
import type { ImageBackOff } from './image-manager.ts';
import type { Pod } from './pod.ts';
import { type ContainerOutput, PodLogs } from './pod-logs.ts';
import { type PodStatus, podStatus } from './pod-status.ts';
import { minimumGraceSeconds, PodSync, type SyncDependencies, type SyncResult } from './pod-sync.ts';

/** When a sync is repeated after one that failed. */
const retryMs = 10_000;
/** The kubelet's `syncFrequency`: when a sync is repeated although nothing has happened. */
const resyncMs = 60_000;

export interface StopOptions {
  /** Instead of the pod's `terminationGracePeriodSeconds`; 0 kills at once. */
  readonly gracePeriodSeconds?: number;
}

/**
 * Keeps one pod running until its restart policy lets it end, or it is stopped.
 *
 * Syncs follow the kubelet's clock: at once when a container ends, 10 s after a sync in which something failed, when a
 * restart delay ends (but within a minute), else every minute. The kubelet stretches these times by a random factor of
 * 1 to 1.5, so that the pods of a node do not move in step; there are few pods here and the delays are better exact.
 * @see pull-policy.md 6 (retry clock) and 12
 */
export class PodWorker {
  readonly pod: Pod;
  /** Resolves when nothing of the pod runs any more and nothing will be started: it has ended, or it was stopped. */
  readonly finished: Promise<PodStatus>;
  readonly #events: EventRecorder;
  readonly #clock: Clock;
  readonly #imageManager: SyncDependencies['imageManager'];
  readonly #crashLoop: SyncDependencies['crashLoop'];
  readonly #sync: PodSync;
  readonly #logs: PodLogs;
  readonly #stopping = new AbortController();
  readonly #loop: Promise<void>;
  #resolveFinished!: (status: PodStatus) => void;
  #woken = false;
  #wakeUp: () => void = () => {};
  #ended = false;
  #removed: Promise<void> | undefined;

  constructor(
    pod: Pod,
    { onOutput, ...deps }: SyncDependencies & { onOutput: ((output: ContainerOutput) => void) | undefined },
  ) {
    this.pod = pod;
    this.#clock = deps.clock;
    this.#imageManager = deps.imageManager;
    this.#crashLoop = deps.crashLoop;
    this.#logs = new PodLogs(pod, onOutput);
    this.#sync = new PodSync(pod, deps, this.#logs);
    this.#events = deps.events;
    this.finished = new Promise((resolve) => {
      this.#resolveFinished = resolve;
    });
    this.#tellOfOverrides();
    this.#loop = this.#run();
  }

  /** What is known of the pod now. */
  status(): PodStatus {
    return podStatus(this.pod, this.#sync.records, { deleting: this.#ended || this.#stopping.signal.aborted });
  }

  /** Its pulls that wait for their next attempt. */
  backOffs(): readonly ImageBackOff[] {
    return this.#imageManager.backOffs(this.pod.metadata.uid);
  }

  /** Forgets the delays after failed pulls and ended containers, and tries again at once. */
  retryNow(): void {
    const { metadata } = this.pod;
    this.#imageManager.forgetBackOffs(metadata.uid);
    for (const { container } of this.#sync.records) this.#crashLoop.reset(crashLoopKey(metadata, container));
    this.wake();
  }

  /** Whether the worker would want to know that this container has ended. */
  owns(containerId: string): boolean {
    return this.#sync.records.some((record) => hasInstance(record, containerId));
  }

  /** Has the pod synced soon, because something has happened to it. */
  wake(): void {
    this.#woken = true;
    this.#wakeUp();
  }

  /**
   * Stops a container with the pod's grace period; the worker then starts it again, with a new evaluation of its pull
   * policy, as it does after a failed liveness probe. Delays between restarts hold.
   * @throws LadingError `ERR_LADING_CONTAINER_UNKNOWN`, `ERR_LADING_CONTAINER_NOT_RUNNING`, or
   *   `ERR_LADING_RESTART_NEVER` when the restart policy forbids to start it again
   */
  async restartContainer(name: string): Promise<void> {
    const record = this.#sync.records.find(({ container }) => container.name === name);
    const { metadata, spec } = this.pod;
    if (!record) {
      const names = spec.containers.map((container) => container.name).join(', ');
      throw new LadingError('ERR_LADING_CONTAINER_UNKNOWN', `pod ${metadata.name} has no container ${name}`, {
        hint: `Its containers are ${names}.`,
      });
    }
    const isEphemeral = record.kind === 'ephemeralContainers';
    if (isEphemeral || (record.container.restartPolicy ?? spec.restartPolicy) === 'Never') {
      const why = isEphemeral ? 'is ephemeral' : 'has the restart policy Never';
      throw new LadingError('ERR_LADING_RESTART_NEVER', `container ${name} ${why}`, {
        hint: 'Run the pod again instead: it is a new pod then.',
      });
    }
    if (!isRunning(record.instances[0])) {
      throw new LadingError(
        'ERR_LADING_CONTAINER_NOT_RUNNING',
        `container ${name} of pod ${metadata.name} is not running`,
        {
          hint: 'It is started as soon as its image and the delay between restarts allow.',
        },
      );
    }
    record.restartRequested = true;
    try {
      await this.#sync.stopContainer(record, minimumGraceSeconds(this.pod));
    } catch (error) {
      record.restartRequested = false;
      throw error;
    }
    this.wake();
  }

  /**
   * Stops the containers (signal, grace period, SIGKILL) and removes the pod's sandbox; of a pod that has ended it only
   * removes what is left. A pull that the pod waits for is given up: the kubelet lets it end, but here somebody waits,
   * and an interrupted download can be resumed. Calling it again while containers are ending shortens their grace
   * period to the one given.
   * @throws what the runtime throws, when something of the pod may still be there
   */
  async stop(options: StopOptions = {}): Promise<void> {
    const grace = options.gracePeriodSeconds ?? minimumGraceSeconds(this.pod);
    if (!this.#removed) {
      this.#stopping.abort();
      this.wake();
      this.#removed = this.#remove(grace).catch((error) => {
        // So that the next call tries again.
        this.#removed = undefined;
        throw error;
      });
    } else if (options.gracePeriodSeconds !== undefined && !this.#ended) {
      await this.#sync.stopContainers(grace);
    }
    await this.#removed;
  }

  #tellOfOverrides(): void {
    const tell = (fieldPath: string | undefined, from: string | undefined, to: string) => {
      if (from === undefined) return;
      const message = `Image ${goQuote(from)} is overridden for this run: ${goQuote(to)}`;
      this.#events.record(this.pod, fieldPath, { type: 'Normal', reason: 'ImageOverridden', message });
    };
    for (const record of this.#sync.records) {
      tell(containerFieldPath(record), record.container.insteadOf, record.container.image);
    }
    for (const { insteadOf, reference } of this.pod.spec.imageVolumes) tell(undefined, insteadOf, reference);
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      this.#woken = false;
      const result = await this.#syncOnce(signal);
      if (result.done) return this.#finish();
      if (!result.again) await this.#waitAfter(result);
    }
  }

  async #syncOnce(signal: AbortSignal): Promise<SyncResult> {
    try {
      return await this.#sync.sync(signal);
    } catch (error) {
      if (!signal.aborted) this.#warn('FailedSync', `Error syncing pod, skipping: ${errorMessage(error)}`);
      return { done: false, failed: true, retryAtMs: undefined };
    }
  }

  async #waitAfter({ failed, retryAtMs }: SyncResult): Promise<void> {
    const now = this.#clock.now();
    const restartAtMs = retryAtMs === undefined ? now + retryMs : Math.min(retryAtMs, now + resyncMs);
    const untilMs = failed ? restartAtMs : now + resyncMs;
    while (!this.#woken && this.#clock.now() < untilMs) {
      const wakeUp = new AbortController();
      this.#wakeUp = () => wakeUp.abort();
      await this.#clock.sleep(untilMs - this.#clock.now(), wakeUp.signal).catch(() => {});
    }
  }

  async #remove(gracePeriodSeconds: number): Promise<void> {
    await this.#loop;
    if (!this.#ended) {
      const steps = [
        () => this.#sync.refresh(),
        () => this.#sync.stopContainers(gracePeriodSeconds),
        () => this.#sync.stopSandboxes(),
        () => this.#sync.refresh(),
      ];
      // Each is worth trying whatever became of the one before.
      for (const step of steps) {
        await step().catch((error) => this.#warn('FailedKillPod', `error killing pod: ${errorMessage(error)}`));
      }
      await this.#finish();
    }
    // Kills what the steps before could not stop.
    await this.#sync.removeSandboxes();
  }

  async #finish(): Promise<void> {
    await this.#logs.closeAll();
    this.#ended = true;
    this.#resolveFinished(this.status());
  }

  #warn(reason: string, message: string): void {
    this.#events.record(this.pod, undefined, { type: 'Warning', reason, message });
  }
}
