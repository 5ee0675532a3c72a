/**
 * The CRI ports: the only thing between the agent (which decides and asks) and the engine (which stores and runs).
 * Each method is one RPC of CRI v1 with its request fields as arguments. Failures are `CriError`s.
 */
import type * as cri from './messages.ts';

export interface CallOptions {
  /** Aborting it stops the work of the call; the call then fails with `CANCELLED`. */
  readonly signal?: AbortSignal | undefined;
}

export interface ImageService {
  /** All images, one per id; with a filter only the image that it resolves to. */
  listImages(filter?: { image?: cri.ImageSpec }, options?: CallOptions): Promise<cri.Image[]>;
  /** Accepts every form of reference and ids. Not found is no error: undefined. */
  imageStatus(image: cri.ImageSpec, options?: CallOptions): Promise<cri.Image | undefined>;
  /**
   * Always asks the registry for a tag; downloads only what is missing. Returns the image's id.
   * An unreachable registry is `UNKNOWN` with a message that starts with `RegistryUnavailable`.
   */
  pullImage(
    request: { image: cri.ImageSpec; auth?: cri.AuthConfig; sandboxConfig?: cri.PodSandboxConfig },
    options?: CallOptions,
  ): Promise<{ imageRef: string }>;
  /** Removes all names of the image and the image itself. Not found: success. */
  removeImage(image: cri.ImageSpec, options?: CallOptions): Promise<void>;
  imageFsInfo(options?: CallOptions): Promise<{ imageFilesystems: cri.FilesystemUsage[] }>;
}

export interface RuntimeService {
  version(options?: CallOptions): Promise<cri.VersionResponse>;
  status(options?: CallOptions): Promise<{ conditions: cri.RuntimeCondition[] }>;

  runPodSandbox(config: cri.PodSandboxConfig, options?: CallOptions): Promise<{ podSandboxId: string }>;
  /** Kills what still runs in it. Idempotent; an unknown id is success. */
  stopPodSandbox(podSandboxId: string, options?: CallOptions): Promise<void>;
  /** Removes its containers too. An unknown id is success. */
  removePodSandbox(podSandboxId: string, options?: CallOptions): Promise<void>;
  /** `NOT_FOUND` when absent. */
  podSandboxStatus(podSandboxId: string, options?: CallOptions): Promise<cri.PodSandboxStatus>;
  listPodSandbox(
    filter?: { id?: string; state?: cri.PodSandboxState },
    options?: CallOptions,
  ): Promise<cri.PodSandbox[]>;

  createContainer(
    request: { podSandboxId: string; config: cri.ContainerConfig; sandboxConfig: cri.PodSandboxConfig },
    options?: CallOptions,
  ): Promise<{ containerId: string }>;
  /** From CREATED only. A process that cannot be started: an error, and the container is EXITED with 128, `StartError`. */
  startContainer(containerId: string, options?: CallOptions): Promise<void>;
  /** Stop signal, at most `timeout` seconds, SIGKILL. Returns when it has exited. Not running or unknown: success. */
  stopContainer(containerId: string, timeout: number, options?: CallOptions): Promise<void>;
  /** Kills it first when it runs. Unknown: success. Its log stays. */
  removeContainer(containerId: string, options?: CallOptions): Promise<void>;
  listContainers(
    filter?: { id?: string; state?: cri.ContainerState; podSandboxId?: string },
    options?: CallOptions,
  ): Promise<cri.Container[]>;
  /** `NOT_FOUND` when absent. */
  containerStatus(containerId: string, options?: CallOptions): Promise<cri.ContainerStatus>;
  /** Events from now on, until `signal` aborts. */
  getContainerEvents(options?: CallOptions): AsyncIterable<cri.ContainerEventResponse>;
}
