import type { ImageService, RuntimeService } from '../cri/services.ts';
import { type Clock, systemClock } from '../lib/clock.ts';
import { LadingError } from '../lib/errors.ts';
import {
  crashLoopBackOff,
  crashLoopDelays,
  defaultKubeletConfig,
  type KubeletConfig,
  runtimeImage,
  verificationPolicy,
  type WhenUnreachable,
} from '../policy/index.ts';
import { type AgentOfNode, joinAgents } from './agents-of-node.ts';
import type { CurrentDigest } from './cached-images.ts';
import { checkedImages } from './checked-images.ts';
import type { ImageDecision } from './container-starter.ts';
import { ContainerWatch } from './container-watch.ts';
import { EventRecorder, type KubeEvent } from './events.ts';
import type { Collected } from './image-gc.ts';
import { ImageManager, type ImageManagerOptions } from './image-manager.ts';
import { ImageMetrics } from './image-metrics.ts';
import type { Pod } from './pod.ts';
import type { PodCredentialSource } from './pod-credentials.ts';
import type { ContainerOutput } from './pod-logs.ts';
import type { SyncDependencies } from './pod-sync.ts';
import { PodWorker, type StopOptions } from './pod-worker.ts';
import { PullRecords } from './pull-records.ts';
import { PullTracker } from './pull-tracker.ts';

/** Called as things happen, one at a time; what they throw is not caught. */
export interface AgentListeners {
  readonly onEvent?: (event: KubeEvent) => void;
  readonly onOutput?: (output: ContainerOutput) => void;
  readonly onDecision?: (decision: ImageDecision) => void;
}

export interface AgentOptions extends AgentListeners {
  readonly images: ImageService;
  readonly runtime: RuntimeService;
  /** Directory for the containers' logs: `<namespace>_<name>_<uid>/<container>/<attempt>.log` below it. */
  readonly logRoot: string;
  readonly clock?: Clock;
  /** By default the kubelet's: one pull at a time, 5 a second with bursts of 10. */
  readonly config?: KubeletConfig;
  /** The credentials of pods; by default those of their pull secrets. Without any the runtime uses those it knows itself. */
  readonly credentials?: PodCredentialSource;
  /**
   * Directory for the records of whose credentials gave access to which images (`image_manager/` below it), so that no pod
   * gets an image without having shown its own. Without it every pod may use every image of the node.
   */
  readonly recordsDirectory?: string;
  /** What `Always` does while a registry cannot be asked, for pods without the annotation; by default it fails. */
  readonly whenUnreachable?: WhenUnreachable;
  /**
   * Asks the registry what a name means now: for images that were used while it could not be asked. Without it the agent
   * finds out when a container starts again.
   */
  readonly currentDigest?: CurrentDigest;
}

/** Runs pods on one node: the kubelet, as far as images and containers are concerned. */
export class Agent {
  readonly #workers = new Map<string, PodWorker>();
  readonly #watch: ContainerWatch;
  readonly #deps: SyncDependencies;
  readonly #onOutput: AgentListeners['onOutput'];
  readonly #others: Promise<AgentOfNode> | undefined;
  readonly #tracking: Promise<PullTracker> | undefined;
  /** Counts of what happens to images. */
  readonly metrics = new ImageMetrics();
  #stopped = false;

  constructor(options: AgentOptions) {
    const { runtime, logRoot, clock = systemClock, config = defaultKubeletConfig(), ...listeners } = options;
    const images = checkedImages(options.images);
    const events = new EventRecorder(() => clock.now(), listeners.onEvent ?? (() => {}));
    this.#onOutput = listeners.onOutput;
    const { recordsDirectory } = options;
    if (recordsDirectory !== undefined) {
      this.#others = joinAgents(recordsDirectory);
      this.#tracking = this.#others.then((others) =>
        startTracking({ images, clock, config, metrics: this.metrics }, recordsDirectory, others),
      );
      // Told by the evaluations, each of which waits for it.
      this.#tracking.catch(() => {});
    }
    this.#watch = new ContainerWatch(runtime, clock, (containerId) => this.#containerEnded(containerId));
    this.#deps = {
      images,
      runtime,
      imageManager: new ImageManager(
        { images, clock, events },
        {
          ...imageOptions({ ...options, config }, this.#tracking),
          metrics: this.metrics,
        },
      ),
      events,
      clock,
      crashLoop: crashLoopBackOff(crashLoopDelays({ maxContainerRestartPeriodMs: config.crashLoopBackOffMaxMs })),
      logRoot,
      onDecision: listeners.onDecision ?? (() => {}),
    };
  }

  /**
   * @throws LadingError `ERR_LADING_POD_EXISTS` when the agent has a pod of that name in that namespace, or of that uid;
   *   `ERR_LADING_AGENT_STOPPED` after `stop`
   */
  startPod(pod: Pod): PodWorker {
    const { name, namespace, uid } = pod.metadata;
    if (this.#stopped)
      throw new LadingError(
        'ERR_LADING_AGENT_STOPPED',
        `the pod ${namespace}/${name} cannot be started: the agent is stopped`,
      );
    const existing = [...this.#workers.values()].find(
      ({ pod: { metadata } }) => metadata.uid === uid || (metadata.name === name && metadata.namespace === namespace),
    );
    if (existing) {
      throw new LadingError('ERR_LADING_POD_EXISTS', `the pod ${namespace}/${name} exists already`, {
        hint: 'Stop it first, or give the new one another name.',
      });
    }
    // Before the pod's first container, so that no end of a container goes unnoticed.
    this.#watch.start();
    const worker = new PodWorker(pod, { ...this.#deps, onOutput: this.#onOutput });
    this.#workers.set(uid, worker);
    void worker.finished.then(() => this.#deps.imageManager.podEnded(uid));
    return worker;
  }

  /** The pods that were started and not stopped, also those that have ended. */
  pods(): readonly PodWorker[] {
    return [...this.#workers.values()];
  }

  /**
   * After a collection of images: forgets who had pulled those that are gone. The kubelet keeps the records of images
   * that the collection has looked at and kept, and so forgets those of images in use; here they stay.
   */
  async imagesCollected({ left, startedAtMs }: Collected): Promise<void> {
    await (await this.#tracking)?.prune(left, startedAtMs);
  }

  /** The kubelet's metrics about images, as text for Prometheus. @see pull-policy.md 14 */
  async metricsText(): Promise<string> {
    return this.metrics.text(await (await this.#tracking)?.onDisk());
  }

  /** Stops a pod and removes it; an unknown uid is no error. See `PodWorker.stop`. */
  async stopPod(uid: string, options?: StopOptions): Promise<void> {
    await this.#workers.get(uid)?.stop(options);
    this.#workers.delete(uid);
  }

  /** Stops all pods, side by side, and then the agent. Calling it again with a shorter grace period hurries it up. */
  async stop(options?: StopOptions): Promise<void> {
    this.#stopped = true;
    const outcomes = await Promise.allSettled([...this.#workers.keys()].map((uid) => this.stopPod(uid, options)));
    await this.#watch.stop();
    // Whoever cannot be told of the others cannot be told of its end.
    await this.#others?.then((others) => others.leave()).catch(() => {});
    const failure = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failure) throw failure.reason;
  }

  #containerEnded(containerId: string): void {
    for (const worker of this.#workers.values()) if (worker.owns(containerId)) worker.wake();
  }
}

function imageOptions(
  { config, credentials, whenUnreachable, currentDigest }: AgentOptions & { config: KubeletConfig },
  tracking: Promise<PullTracker> | undefined,
): ImageManagerOptions {
  return {
    maxParallelPulls: config.serializeImagePulls ? 1 : (config.maxParallelImagePulls ?? 0),
    pullsPerSecond: config.registryPullQPS,
    pullBurst: config.registryBurst,
    ...(credentials ? { credentials } : {}),
    ...(whenUnreachable ? { whenUnreachable } : {}),
    ...(currentDigest ? { currentDigest } : {}),
    ...(tracking ? { tracking } : {}),
  };
}

async function startTracking(
  deps: { images: ImageService; clock: Clock; config: KubeletConfig; metrics: ImageMetrics },
  directory: string,
  { alone }: AgentOfNode,
): Promise<PullTracker> {
  const { images, clock, metrics, config } = deps;
  const { imagePullCredentialsVerificationPolicy, preloadedImagesVerificationAllowlist } = config;
  const policy = verificationPolicy(imagePullCredentialsVerificationPolicy, preloadedImagesVerificationAllowlist);
  const records = new PullRecords(directory);
  const tracker = new PullTracker({ records, policy, clock, metrics });
  // Intents may be of pulls of another process that are running. Until none is left they count as what they are.
  if (!alone) {
    await records.open();
    return tracker;
  }
  await tracker.start(await images.listImages());
  // What the kubelet leaves for ever: intents whose text is no complete tag of the runtime.
  await tracker.endLeftPulls(async (image) => (await images.imageStatus({ image: runtimeImage(image) }))?.id);
  return tracker;
}
