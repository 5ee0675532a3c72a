/** The CRI RuntimeService over one container runtime and the unpacked images of one node. */
import { EventEmitter, on } from 'node:events';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { hostname as nodeHostname } from 'node:os';
import { dirname, join } from 'node:path';
import * as cri from '../cri/index.ts';
import { maxTimerMs } from '../lib/clock.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage, LadingError } from '../lib/errors.ts';
import { type Digest, parseImageConfig } from '../oci/index.ts';
import type { PullDependencies } from '../pull/index.ts';
import {
  type ContainerRuntime,
  defaultMaskedPaths,
  defaultReadonlyPaths,
  type RuntimeMount,
} from '../runtime/index.ts';
import { type ContainerRecord, newId, nowNanoseconds, statusOf } from './container.ts';
import { containerProcess } from './container-process.ts';
import { findImage, namesOfImage, pullName } from './image-lookup.ts';
import { mountedImages, mountImage } from './image-mounts.ts';
import { recoverContainers, writeOwner } from './recovery.ts';
import { mountRootfs, removeRootfs } from './rootfs.ts';

const log = debugLog('engine');

/** Linux takes 64 with the final NUL; the kubelet cuts as well. */
const maxHostnameBytes = 63;
const maxConfigBytes = 8 * 1024 * 1024;

interface Sandbox {
  readonly id: string;
  readonly config: cri.PodSandboxConfig;
  readonly createdAt: bigint;
  readonly directory: string;
  state: cri.PodSandboxState;
}

export interface RuntimeServiceDependencies extends PullDependencies {
  readonly runtime: ContainerRuntime;
  readonly version: string;
}

export class EngineRuntimeService implements cri.RuntimeService {
  readonly #deps: RuntimeServiceDependencies;
  readonly #sandboxes = new Map<string, Sandbox>();
  readonly #containers = new Map<string, ContainerRecord>();
  readonly #events = new EventEmitter<{ event: [cri.ContainerEventResponse] }>();

  constructor(deps: RuntimeServiceDependencies) {
    this.#deps = deps;
    this.#events.setMaxListeners(0);
  }

  /** Ends and removes what a killed process left on this node: processes, mounts, cgroups, folders. */
  async recover(): Promise<number> {
    return recoverContainers(this.#deps.store.stateFolder, this.#deps.runtime);
  }

  async version(): Promise<cri.VersionResponse> {
    return { version: '0.1.0', runtimeName: 'lading', runtimeVersion: this.#deps.version, runtimeApiVersion: 'v1' };
  }

  async status(): Promise<{ conditions: cri.RuntimeCondition[] }> {
    const ready = { status: true, reason: '', message: '' };
    return {
      conditions: [
        { type: 'RuntimeReady', ...ready },
        { type: 'NetworkReady', ...ready },
      ],
    };
  }

  async runPodSandbox(config: cri.PodSandboxConfig): Promise<{ podSandboxId: string }> {
    const id = newId();
    const directory = join(this.#deps.store.stateFolder, 'sandboxes', id);
    await mkdir(directory, { recursive: true });
    await writeOwner(directory);
    await writeFile(join(directory, 'hostname'), `${hostnameOf(config)}\n`);
    for (const name of ['resolv.conf', 'hosts']) {
      await copyFile(join('/etc', name), join(directory, name)).catch(() => writeFile(join(directory, name), ''));
    }
    if (config.logDirectory) await mkdir(config.logDirectory, { recursive: true });
    this.#sandboxes.set(id, { id, config, createdAt: nowNanoseconds(), directory, state: 'SANDBOX_READY' });
    return { podSandboxId: id };
  }

  async stopPodSandbox(podSandboxId: string): Promise<void> {
    const sandbox = this.#sandboxes.get(podSandboxId);
    if (!sandbox) return;
    sandbox.state = 'SANDBOX_NOTREADY';
    await Promise.all(this.#containersOf(podSandboxId).map((container) => this.stopContainer(container.id, 0)));
  }

  async removePodSandbox(podSandboxId: string): Promise<void> {
    const sandbox = this.#sandboxes.get(podSandboxId);
    if (!sandbox) return;
    await this.stopPodSandbox(podSandboxId);
    await Promise.all(this.#containersOf(podSandboxId).map((container) => this.removeContainer(container.id)));
    await rm(sandbox.directory, { recursive: true, force: true });
    this.#sandboxes.delete(podSandboxId);
  }

  async podSandboxStatus(podSandboxId: string): Promise<cri.PodSandboxStatus> {
    const { id, config, state, createdAt } = this.#sandbox(podSandboxId);
    const { metadata, labels, annotations, linux } = config;
    const namespaces = { options: linux.securityContext.namespaceOptions };
    return { id, metadata, state, createdAt, linux: { namespaces }, labels, annotations };
  }

  async listPodSandbox(filter: { id?: string; state?: cri.PodSandboxState } = {}): Promise<cri.PodSandbox[]> {
    return [...this.#sandboxes.values()]
      .filter(({ id, state }) => id.startsWith(filter.id ?? '') && (!filter.state || state === filter.state))
      .map(({ id, config: { metadata, labels, annotations }, state, createdAt }) => {
        return { id, metadata, state, createdAt, labels, annotations };
      });
  }

  async createContainer(request: {
    podSandboxId: string;
    config: cri.ContainerConfig;
    sandboxConfig: cri.PodSandboxConfig;
  }): Promise<{ containerId: string }> {
    const { config, sandboxConfig } = request;
    const sandbox = this.#sandbox(request.podSandboxId);
    if (sandbox.state !== 'SANDBOX_READY') throw new cri.CriError('UNKNOWN', `pod sandbox ${sandbox.id} is not ready`);
    this.#refuseDuplicate(sandbox.id, config.metadata);
    const { store } = this.#deps;
    const image = findImage(store, config.image.image);
    if (!image) {
      throw new cri.CriError('NOT_FOUND', `image ${config.image.image} is not on this node`, {
        hint: 'Pull it first: a container is created from an image of the node.',
      });
    }
    const id = newId();
    const directory = join(store.stateFolder, 'containers', id);
    const usedImages = [image.id, ...mountedImages(this.#deps, config.mounts)];
    const lease = store.leases.acquire({ images: usedImages });
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await writeOwner(directory);
      const rootfs = await mountRootfs(this.#deps, image.id, directory);
      const mounts = await Promise.all(config.mounts.map((mount, index) => this.#mountOf(mount, directory, index)));
      const imageConfig = parseImageConfig(await store.blobs.read(image.id, { maxBytes: maxConfigBytes }));
      const security = config.linux.securityContext;
      const logPath = config.logPath ? join(sandboxConfig.logDirectory, config.logPath) : '';
      if (logPath) await mkdir(dirname(logPath), { recursive: true });
      this.#containers.set(id, {
        id,
        podSandboxId: sandbox.id,
        config,
        imageId: image.id,
        imageRef: namesOfImage(store, image).repoDigests[0] ?? image.id,
        directory,
        logPath,
        stopSignal: stopSignal(imageConfig.config.StopSignal),
        createdAt: nowNanoseconds(),
        release: () => {
          this.#noteUse(usedImages);
          lease.release();
        },
        runtimeContainer: {
          id,
          bundleDir: directory,
          rootfs,
          process: containerProcess(config, imageConfig, rootfs, hostnameOf(sandboxConfig)),
          hostname: hostnameOf(sandboxConfig),
          mounts: [...sandboxMounts(sandbox.directory, config.mounts), ...mounts],
          readonlyRootfs: security?.readonlyRootfs ?? false,
          maskedPaths: security?.maskedPaths ?? defaultMaskedPaths,
          readonlyPaths: security?.readonlyPaths ?? defaultReadonlyPaths,
          seccomp: security?.seccomp?.profileType === 'RuntimeDefault' ? 'default' : 'unconfined',
          cgroupPath: `/lading-${sandbox.id.slice(0, 13)}/${id}`,
          ...(logPath ? { logPath } : {}),
        },
        state: 'CONTAINER_CREATED',
        startedAt: 0n,
        finishedAt: 0n,
        exitCode: 0,
        reason: '',
        message: '',
      });
    } catch (error) {
      await removeRootfs(directory);
      lease.release();
      throw asCriError(error);
    }
    this.#noteUse(usedImages);
    this.#emit(id, 'CONTAINER_CREATED_EVENT');
    return { containerId: id };
  }

  async startContainer(containerId: string): Promise<void> {
    const container = this.#container(containerId);
    if (container.state !== 'CONTAINER_CREATED') {
      throw new cri.CriError(
        'UNKNOWN',
        `container ${containerId} is in state ${container.state}, not CONTAINER_CREATED`,
      );
    }
    try {
      container.running = await this.#deps.runtime.start(container.runtimeContainer);
    } catch (error) {
      container.startedAt = nowNanoseconds();
      container.message = errorMessage(error);
      await this.#exited(container, { exitCode: 128, reason: 'StartError' });
      throw asCriError(error);
    }
    container.state = 'CONTAINER_RUNNING';
    container.startedAt = nowNanoseconds();
    this.#noteStart(container);
    container.ended = container.running.exited.then(({ exitCode, oomKilled }) =>
      this.#exited(container, { exitCode, reason: oomKilled ? 'OOMKilled' : exitCode === 0 ? 'Completed' : 'Error' }),
    );
    this.#emit(containerId, 'CONTAINER_STARTED_EVENT');
  }

  async stopContainer(containerId: string, timeout: number): Promise<void> {
    const container = this.#containers.get(containerId);
    if (!container?.running || container.state !== 'CONTAINER_RUNNING') return;
    const { running, ended } = container;
    if (timeout > 0) {
      await running.kill(container.stopSignal);
      let timer: NodeJS.Timeout | undefined;
      const elapsed = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, Math.min(timeout * 1000, maxTimerMs));
      });
      await Promise.race([ended, elapsed]);
      clearTimeout(timer);
    }
    if (this.#isRunning(container)) await running.kill('SIGKILL');
    await ended;
  }

  async removeContainer(containerId: string): Promise<void> {
    const container = this.#containers.get(containerId);
    if (!container) return;
    await this.stopContainer(containerId, 0);
    await container.ended;
    await this.#deps.runtime.cleanUp(container.id, container.directory);
    await removeRootfs(container.directory);
    container.release();
    this.#containers.delete(containerId);
    this.#emit(containerId, 'CONTAINER_DELETED_EVENT');
  }

  async listContainers(
    filter: { id?: string; state?: cri.ContainerState; podSandboxId?: string } = {},
  ): Promise<cri.Container[]> {
    return [...this.#containers.values()]
      .filter((container) => container.id.startsWith(filter.id ?? ''))
      .filter((container) => container.podSandboxId.startsWith(filter.podSandboxId ?? ''))
      .filter((container) => !filter.state || container.state === filter.state)
      .map((container) => {
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
    return statusOf(this.#container(containerId));
  }

  async *getContainerEvents(options: cri.CallOptions = {}): AsyncIterable<cri.ContainerEventResponse> {
    try {
      for await (const [event] of on(this.#events, 'event', { signal: options.signal })) yield event;
    } catch (error) {
      if (!options.signal?.aborted) throw error;
    }
  }

  /** Stops and removes every sandbox, without grace. */
  async close(): Promise<void> {
    await Promise.all([...this.#sandboxes.keys()].map((id) => this.removePodSandbox(id)));
  }

  async #exited(container: ContainerRecord, end: { exitCode: number; reason: string }): Promise<void> {
    container.finishedAt = nowNanoseconds();
    container.exitCode = end.exitCode;
    container.reason = end.reason;
    // What stays is tried again when the container is removed.
    await this.#deps.runtime.cleanUp(container.id, container.directory).catch((error: unknown) => {
      log('cannot clean up container %s: %s', container.id, errorMessage(error));
    });
    container.state = 'CONTAINER_EXITED';
    this.#emit(container.id, 'CONTAINER_STOPPED_EVENT');
  }

  /** For the history of its images' names, which no container depends on. */
  #noteStart({ config, imageId, podSandboxId }: ContainerRecord): void {
    const { namespace, name: pod } = this.#sandbox(podSandboxId).config.metadata;
    const { store } = this.#deps;
    const note = ({ image, userSpecifiedImage }: cri.ImageSpec, id: Digest | undefined) => {
      const name = pullName(userSpecifiedImage || image);
      if (name && id) store.starts.record(name, id, { namespace, pod, container: config.metadata.name });
    };
    try {
      note(config.image, imageId);
      for (const { image } of config.mounts) if (image) note(image, findImage(store, image.image)?.id);
    } catch (error) {
      log('cannot note the start of %s: %s', config.metadata.name, errorMessage(error));
    }
  }

  /** For the collection of unused images, which no container depends on. */
  #noteUse(images: readonly Digest[]): void {
    try {
      this.#deps.store.imageUses.note(images);
    } catch (error) {
      log('cannot note the use of an image: %s', errorMessage(error));
    }
  }

  #isRunning(container: ContainerRecord): boolean {
    return container.state === 'CONTAINER_RUNNING';
  }

  #containersOf(podSandboxId: string): ContainerRecord[] {
    return [...this.#containers.values()].filter((container) => container.podSandboxId === podSandboxId);
  }

  #sandbox(id: string): Sandbox {
    const sandbox = this.#sandboxes.get(id);
    if (!sandbox) throw new cri.CriError('NOT_FOUND', `pod sandbox ${id} does not exist`);
    return sandbox;
  }

  #container(id: string): ContainerRecord {
    const container = this.#containers.get(id);
    if (!container) throw new cri.CriError('NOT_FOUND', `container ${id} does not exist`);
    return container;
  }

  async #mountOf(mount: cri.Mount, containerDir: string, index: number): Promise<RuntimeMount> {
    const { image, hostPath, containerPath: destination } = mount;
    if (!image) return { source: hostPath, destination, readonly: mount.readonly };
    const source = await mountImage(this.#deps, { ...mount, image }, { containerDir, index });
    return { source, destination, readonly: true };
  }

  #refuseDuplicate(podSandboxId: string, { name, attempt }: cri.ContainerMetadata): void {
    const same = this.#containersOf(podSandboxId).find(
      ({ config: { metadata } }) => metadata.name === name && metadata.attempt === attempt,
    );
    if (same) throw new cri.CriError('UNKNOWN', `container ${name}, attempt ${attempt}, exists already in the sandbox`);
  }

  #emit(containerId: string, containerEventType: cri.ContainerEventType): void {
    this.#events.emit('event', { containerId, containerEventType, createdAt: nowNanoseconds() });
  }
}

/** The pod's name service files, unless a mount of the container's own takes their place. */
function sandboxMounts(sandboxDirectory: string, mounts: readonly cri.Mount[]) {
  const taken = new Set(mounts.map((mount) => mount.containerPath));
  return ['hostname', 'hosts', 'resolv.conf']
    .map((name) => ({ source: join(sandboxDirectory, name), destination: `/etc/${name}`, readonly: false }))
    .filter(({ destination }) => !taken.has(destination));
}

/** A pod that asks for none uses the node's network, and has the node's name. */
function hostnameOf({ hostname }: cri.PodSandboxConfig): string {
  return (hostname || nodeHostname()).slice(0, maxHostnameBytes);
}

function stopSignal(text: string | undefined): NodeJS.Signals {
  if (!text) return 'SIGTERM';
  return (text.startsWith('SIG') ? text : `SIG${text}`) as NodeJS.Signals;
}

function asCriError(error: unknown): cri.CriError {
  if (error instanceof cri.CriError) return error;
  const hint = error instanceof LadingError ? error.hint : undefined;
  return new cri.CriError('UNKNOWN', errorMessage(error), { cause: error, hint });
}
