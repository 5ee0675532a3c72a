import { appendFileSync, mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type * as cri from '../../src/cri/index.ts';
import { CriError } from '../../src/cri/index.ts';
import type { VirtualClock } from './virtual-clock.ts';

export interface FakeImage {
  readonly id: string;
  readonly size?: number;
  readonly uid?: number;
  readonly username?: string;
  readonly repoDigests?: readonly string[];
  /** When the registry last said that the name means it. */
  readonly checkedAt?: string;
  /** What the registry has said since that the name means. */
  readonly announced?: string;
}

/** What a container's process does once it is started; without anything it runs until it is stopped. */
export interface Behaviour {
  readonly exitAfterMs?: number;
  readonly exitCode?: number;
  readonly startError?: string;
  /** Complete records of its log, without time and line end: `stdout F text`. */
  readonly log?: readonly string[];
  /** Exit code after SIGTERM; undefined: 143. */
  readonly termExitCode?: number;
  readonly ignoresTerm?: boolean;
}

interface FakeContainer {
  readonly id: string;
  readonly podSandboxId: string;
  readonly config: cri.ContainerConfig;
  readonly createdAt: bigint;
  readonly logPath: string;
  /** Aborted at its end. */
  readonly ended: AbortController;
  behaviour: Behaviour;
  state: cri.ContainerState;
  startedAt: bigint;
  finishedAt: bigint;
  exitCode: number;
  reason: string;
  message: string;
}

type Method = keyof (cri.ImageService & cri.RuntimeService);

/**
 * Both services of the CRI in memory, with a registry behind them. Tests script what images there are, what containers
 * do, and which calls fail; `calls` has what was asked, in order.
 */
export class FakeCri implements cri.ImageService, cri.RuntimeService {
  /** `method argument`, for the calls that change something or look at images. */
  readonly calls: string[] = [];
  /** What a pull finds, by the name that the runtime is given. */
  readonly registry = new Map<string, FakeImage>();
  /** What the node has, by name. */
  readonly node = new Map<string, FakeImage>();
  /** How long each pull takes. */
  pullMs = 0;
  behaviour: (container: string, attempt: number) => Behaviour = () => ({});
  /** A runtime without events answers `UNIMPLEMENTED`, as older ones do. */
  hasEvents = true;
  readonly containers = new Map<string, FakeContainer>();
  readonly sandboxes = new Map<
    string,
    { config: cri.PodSandboxConfig; state: cri.PodSandboxState; createdAt: bigint }
  >();
  readonly #clock: VirtualClock;
  readonly #failures = new Map<Method, unknown[]>();
  readonly #subscribers = new Set<(event: cri.ContainerEventResponse) => void>();
  #ids = 0;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  /** The next calls of `method` fail with these errors, one each. */
  failNext(method: Method, ...errors: unknown[]): void {
    this.#failures.set(method, [...(this.#failures.get(method) ?? []), ...errors]);
  }

  /** The pod's sandbox process dies, and its containers with it. */
  killSandbox(id: string): void {
    this.sandboxes.get(id)!.state = 'SANDBOX_NOTREADY';
    for (const container of this.containers.values()) if (container.podSandboxId === id) this.#exit(container, 137);
  }

  running(): string[] {
    return [...this.containers.values()]
      .filter(({ state }) => state === 'CONTAINER_RUNNING')
      .map(({ config: { metadata } }) => `${metadata.name}/${metadata.attempt}`);
  }

  async listImages(): Promise<cri.Image[]> {
    return [...this.node.values()].map(asImage);
  }

  async imageStatus({ image }: cri.ImageSpec): Promise<cri.Image | undefined> {
    this.#called('imageStatus', image);
    const found = this.node.get(image) ?? [...this.node.values()].find(({ id }) => id === image);
    return found && asImage(found);
  }

  async pullImage(
    { image: { image } }: { image: cri.ImageSpec },
    options: cri.CallOptions = {},
  ): Promise<{ imageRef: string }> {
    this.#called('pullImage', image);
    if (this.pullMs > 0) await this.#clock.sleep(this.pullMs, options.signal);
    const found = this.registry.get(image);
    if (!found) throw new CriError('NOT_FOUND', `${image}: not found`);
    this.node.set(image, found);
    return { imageRef: found.id };
  }

  async removeImage({ image }: cri.ImageSpec): Promise<void> {
    this.node.delete(image);
  }

  async imageFsInfo(): Promise<{ imageFilesystems: cri.FilesystemUsage[] }> {
    return { imageFilesystems: [] };
  }

  async version(): Promise<cri.VersionResponse> {
    return { version: '0.1.0', runtimeName: 'fake', runtimeVersion: '1.0.0', runtimeApiVersion: 'v1' };
  }

  async status(): Promise<{ conditions: cri.RuntimeCondition[] }> {
    return { conditions: [] };
  }

  async runPodSandbox(config: cri.PodSandboxConfig): Promise<{ podSandboxId: string }> {
    this.#called('runPodSandbox', `${config.metadata.name}/${config.metadata.attempt}`);
    const podSandboxId = this.#newId('sandbox');
    this.sandboxes.set(podSandboxId, { config, state: 'SANDBOX_READY', createdAt: this.#now() });
    return { podSandboxId };
  }

  async stopPodSandbox(podSandboxId: string): Promise<void> {
    this.#called('stopPodSandbox', podSandboxId);
    if (this.sandboxes.has(podSandboxId)) this.killSandbox(podSandboxId);
  }

  async removePodSandbox(podSandboxId: string): Promise<void> {
    this.#called('removePodSandbox', podSandboxId);
    if (!this.sandboxes.has(podSandboxId)) return;
    this.killSandbox(podSandboxId);
    for (const { id } of this.#in(podSandboxId)) this.containers.delete(id);
    this.sandboxes.delete(podSandboxId);
  }

  async podSandboxStatus(podSandboxId: string): Promise<cri.PodSandboxStatus> {
    this.#failIfScripted('podSandboxStatus');
    const sandbox = this.sandboxes.get(podSandboxId);
    if (!sandbox) throw new CriError('NOT_FOUND', `sandbox ${podSandboxId} not found`);
    const { config, state, createdAt } = sandbox;
    const { metadata, labels, annotations } = config;
    const namespaces = { options: config.linux.securityContext.namespaceOptions };
    return { id: podSandboxId, metadata, state, createdAt, linux: { namespaces }, labels, annotations };
  }

  async listPodSandbox(): Promise<cri.PodSandbox[]> {
    return [...this.sandboxes].map(
      ([
        id,
        {
          config: { metadata, labels, annotations },
          state,
          createdAt,
        },
      ]) => {
        return { id, metadata, state, createdAt, labels, annotations };
      },
    );
  }

  async createContainer({ podSandboxId, config, sandboxConfig }: Parameters<cri.RuntimeService['createContainer']>[0]) {
    const { name, attempt } = config.metadata;
    this.#called('createContainer', `${name}/${attempt} ${config.image.image}`);
    if (this.sandboxes.get(podSandboxId)?.state !== 'SANDBOX_READY')
      throw new CriError('UNKNOWN', 'sandbox is not ready');
    if (
      this.#in(podSandboxId).some(({ config: { metadata } }) => metadata.name === name && metadata.attempt === attempt)
    )
      throw new CriError('UNKNOWN', `container ${name}/${attempt} exists`);
    const id = this.#newId('container');
    this.containers.set(id, {
      id,
      podSandboxId,
      config,
      createdAt: this.#now(),
      logPath: join(sandboxConfig.logDirectory, config.logPath),
      ended: new AbortController(),
      behaviour: this.behaviour(name, attempt),
      state: 'CONTAINER_CREATED',
      startedAt: 0n,
      finishedAt: 0n,
      exitCode: 0,
      reason: '',
      message: '',
    });
    this.#emit(id, 'CONTAINER_CREATED_EVENT');
    return { containerId: id };
  }

  async startContainer(containerId: string): Promise<void> {
    const container = this.#container(containerId);
    this.#called('startContainer', containerText(container));
    const { startError, exitAfterMs, exitCode = 0, log } = container.behaviour;
    container.startedAt = this.#now();
    if (startError !== undefined) {
      Object.assign(container, { message: startError });
      this.#exit(container, 128, 'StartError');
      throw new CriError('UNKNOWN', startError);
    }
    container.state = 'CONTAINER_RUNNING';
    if (log) writeLog(container.logPath, log);
    this.#emit(containerId, 'CONTAINER_STARTED_EVENT');
    if (exitAfterMs === 0) this.#exit(container, exitCode);
    else if (exitAfterMs !== undefined) this.#clock.schedule(exitAfterMs, () => this.#exit(container, exitCode));
  }

  async stopContainer(containerId: string, timeout: number): Promise<void> {
    const container = this.containers.get(containerId);
    if (!container) return;
    this.#called('stopContainer', `${containerText(container)} ${timeout}`);
    const { ignoresTerm, termExitCode = 143 } = container.behaviour;
    if (!ignoresTerm && timeout > 0) return this.#exit(container, termExitCode);
    if (timeout > 0) await this.#clock.sleep(timeout * 1000, container.ended.signal).catch(() => {});
    this.#exit(container, 137);
  }

  async removeContainer(containerId: string): Promise<void> {
    const container = this.containers.get(containerId);
    if (!container) return;
    this.#called('removeContainer', containerText(container));
    this.#exit(container, 137);
    this.containers.delete(containerId);
    this.#emit(containerId, 'CONTAINER_DELETED_EVENT');
  }

  async listContainers(): Promise<cri.Container[]> {
    this.#failIfScripted('listContainers');
    return [...this.containers.values()].map((container) => {
      const { id, metadata, imageRef, imageId, state, createdAt, labels, annotations } = statusOf(container);
      const { podSandboxId, config } = container;
      return {
        id,
        podSandboxId,
        metadata,
        image: config.image,
        imageRef,
        imageId,
        state,
        createdAt,
        labels,
        annotations,
      };
    });
  }

  async containerStatus(containerId: string): Promise<cri.ContainerStatus> {
    this.#failIfScripted('containerStatus');
    return statusOf(this.#container(containerId));
  }

  async *getContainerEvents({ signal }: cri.CallOptions = {}): AsyncIterable<cri.ContainerEventResponse> {
    this.#failIfScripted('getContainerEvents');
    if (!this.hasEvents) throw new CriError('UNIMPLEMENTED', 'unknown method GetContainerEvents');
    const queue: cri.ContainerEventResponse[] = [];
    let wake = () => {};
    const subscriber = (event: cri.ContainerEventResponse) => {
      queue.push(event);
      wake();
    };
    this.#subscribers.add(subscriber);
    signal?.addEventListener('abort', () => wake(), { once: true });
    try {
      while (!signal?.aborted) {
        const event = queue.shift();
        if (event) yield event;
        else
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
      }
    } finally {
      this.#subscribers.delete(subscriber);
    }
  }

  #exit(container: FakeContainer, exitCode: number, reason = exitCode === 0 ? 'Completed' : 'Error'): void {
    if (container.state === 'CONTAINER_EXITED') return;
    Object.assign(container, { state: 'CONTAINER_EXITED', exitCode, reason, finishedAt: this.#now() });
    container.ended.abort();
    this.#emit(container.id, 'CONTAINER_STOPPED_EVENT');
  }

  #called(method: Method, argument: string): void {
    this.calls.push(`${method} ${argument}`);
    this.#failIfScripted(method);
  }

  #failIfScripted(method: Method): void {
    const failures = this.#failures.get(method);
    if (failures && failures.length > 0) throw failures.shift();
  }

  #container(id: string): FakeContainer {
    const container = this.containers.get(id);
    if (!container) throw new CriError('NOT_FOUND', `container ${id} not found`);
    return container;
  }

  #in(podSandboxId: string): FakeContainer[] {
    return [...this.containers.values()].filter((container) => container.podSandboxId === podSandboxId);
  }

  #emit(containerId: string, containerEventType: cri.ContainerEventType): void {
    const event = { containerId, containerEventType, createdAt: this.#now() };
    for (const subscriber of this.#subscribers) subscriber(event);
  }

  #now(): bigint {
    return BigInt(this.#clock.now()) * 1_000_000n;
  }

  #newId(kind: string): string {
    this.#ids += 1;
    return `${kind}-${this.#ids}`;
  }
}

function asImage({
  id,
  size = 1000,
  uid,
  username = '',
  repoDigests = [],
  checkedAt,
  announced,
}: FakeImage): cri.Image {
  const user = uid === undefined ? {} : { uid: { value: uid } };
  const annotations = {
    ...(checkedAt ? { 'lading.dev/checked-at': checkedAt } : {}),
    ...(announced ? { 'lading.dev/announced-digest': announced } : {}),
  };
  const spec = checkedAt || announced ? { spec: { image: id, annotations } } : {};
  return { id, size, username, repoTags: [], repoDigests, pinned: false, ...user, ...spec };
}

function containerText({ config: { metadata } }: FakeContainer): string {
  return `${metadata.name}/${metadata.attempt}`;
}

function statusOf(container: FakeContainer): cri.ContainerStatus {
  const { config, id, state, createdAt, startedAt, finishedAt, exitCode, reason, message, logPath } = container;
  const { metadata, labels, annotations, mounts, image } = config;
  return {
    id,
    metadata,
    state,
    createdAt,
    startedAt,
    finishedAt,
    exitCode,
    reason,
    message,
    image: { image: image.userSpecifiedImage ?? image.image },
    imageRef: `repo@${image.image}`,
    imageId: image.image,
    labels,
    annotations,
    mounts,
    logPath,
  };
}

function writeLog(path: string, records: readonly string[]): void {
  mkdirSync(dirname(path), { recursive: true });
  appendFileSync(path, records.map((record) => `2026-01-01T00:00:00.000000000Z ${record}\n`).join(''));
}
