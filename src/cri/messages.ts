/**
 * The messages of the Kubernetes Container Runtime Interface (CRI v1) that Lading exchanges between its two sides, in
 * the form that a gRPC library gives them: lower camel case, enums as their names, absent messages undefined. Only
 * what both sides use is here. Times are nanoseconds since the epoch.
 * @see https://github.com/kubernetes/cri-api/blob/master/pkg/apis/runtime/v1/api.proto
 */

export interface KeyValue {
  readonly key: string;
  readonly value: string;
}

export interface ImageSpec {
  /** A reference or an image id, as the user or the kubelet wrote it. */
  readonly image: string;
  /** The user's text when `image` is an id. */
  readonly userSpecifiedImage?: string;
  readonly annotations?: Readonly<Record<string, string>>;
}

export interface Image {
  /** Digest of the image's configuration; the same for the same content from any registry. */
  readonly id: string;
  readonly repoTags: readonly string[];
  readonly repoDigests: readonly string[];
  /** Bytes of manifest, configuration and compressed layers; greater than 0. */
  readonly size: number;
  /** Numeric user of the image's configuration, when it has one. */
  readonly uid?: { readonly value: number };
  readonly username: string;
  /** With annotations of the runtime, see `imageAnnotations`. */
  readonly spec?: ImageSpec;
  readonly pinned: boolean;
}

export interface AuthConfig {
  readonly username?: string;
  readonly password?: string;
  /** Base64 of `user:password`. */
  readonly auth?: string;
  readonly serverAddress?: string;
  readonly identityToken?: string;
  readonly registryToken?: string;
}

export interface FilesystemUsage {
  readonly timestamp: bigint;
  readonly fsId: { readonly mountpoint: string };
  readonly usedBytes: { readonly value: number };
  readonly inodesUsed: { readonly value: number };
}

export type NamespaceMode = 'POD' | 'CONTAINER' | 'NODE';

export interface NamespaceOption {
  readonly network: NamespaceMode;
  readonly pid: NamespaceMode;
  readonly ipc: NamespaceMode;
}

export interface PodSandboxMetadata {
  readonly name: string;
  readonly uid: string;
  readonly namespace: string;
  readonly attempt: number;
}

export interface PodSandboxConfig {
  readonly metadata: PodSandboxMetadata;
  readonly hostname: string;
  /** Directory on the node for the logs of the pod's containers. */
  readonly logDirectory: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: { readonly securityContext: { readonly namespaceOptions: NamespaceOption } };
}

export type PodSandboxState = 'SANDBOX_READY' | 'SANDBOX_NOTREADY';

export interface PodSandbox {
  readonly id: string;
  readonly metadata: PodSandboxMetadata;
  readonly state: PodSandboxState;
  readonly createdAt: bigint;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ContainerMetadata {
  readonly name: string;
  /** 0 for the first start; a restart is a new container with a higher attempt. */
  readonly attempt: number;
}

export interface Mount {
  readonly containerPath: string;
  readonly hostPath: string;
  readonly readonly: boolean;
  /** An image to mount instead of `hostPath`, which is then empty; read-only whatever `readonly` says. */
  readonly image?: ImageSpec;
  /** A path inside that image; absent or empty for all of it. */
  readonly imageSubPath?: string;
}

export interface LinuxContainerSecurityContext {
  readonly runAsUser?: { readonly value: number };
  readonly runAsGroup?: { readonly value: number };
  readonly runAsUsername?: string;
  readonly supplementalGroups?: readonly number[];
  readonly readonlyRootfs?: boolean;
  readonly noNewPrivs?: boolean;
  readonly capabilities?: {
    /** Names without `CAP_`, or `ALL`. */
    readonly addCapabilities?: readonly string[];
    readonly dropCapabilities?: readonly string[];
  };
  /** Absent: unconfined. */
  readonly seccomp?: { readonly profileType: 'RuntimeDefault' | 'Unconfined' };
  readonly maskedPaths?: readonly string[];
  readonly readonlyPaths?: readonly string[];
}

export interface ContainerConfig {
  readonly metadata: ContainerMetadata;
  readonly image: ImageSpec;
  /** Replaces the image's Entrypoint. */
  readonly command: readonly string[];
  /** Replaces the image's Cmd. */
  readonly args: readonly string[];
  readonly workingDir: string;
  readonly envs: readonly KeyValue[];
  readonly mounts: readonly Mount[];
  /** Relative to the sandbox's `logDirectory`; empty: no log. */
  readonly logPath: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly linux: {
    readonly resources?: { readonly oomScoreAdj?: number };
    readonly securityContext?: LinuxContainerSecurityContext;
  };
}

export type ContainerState = 'CONTAINER_CREATED' | 'CONTAINER_RUNNING' | 'CONTAINER_EXITED' | 'CONTAINER_UNKNOWN';

export interface Container {
  readonly id: string;
  readonly podSandboxId: string;
  readonly metadata: ContainerMetadata;
  readonly image: ImageSpec;
  readonly imageRef: string;
  readonly imageId: string;
  readonly state: ContainerState;
  readonly createdAt: bigint;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface ContainerStatus {
  readonly id: string;
  readonly metadata: ContainerMetadata;
  readonly state: ContainerState;
  readonly createdAt: bigint;
  /** 0 before the start. */
  readonly startedAt: bigint;
  /** 0 before the end. */
  readonly finishedAt: bigint;
  readonly exitCode: number;
  readonly image: ImageSpec;
  /** First repository digest of the image, else its id. */
  readonly imageRef: string;
  readonly imageId: string;
  /** `Completed`, `Error`, `StartError`, `OOMKilled`, `Unknown`, or empty while it runs. */
  readonly reason: string;
  readonly message: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
  readonly mounts: readonly Mount[];
  /** Absolute. */
  readonly logPath: string;
}

export interface PodSandboxStatus {
  readonly id: string;
  readonly metadata: PodSandboxMetadata;
  readonly state: PodSandboxState;
  readonly createdAt: bigint;
  readonly linux: { readonly namespaces: { readonly options: NamespaceOption } };
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface VersionResponse {
  readonly version: string;
  readonly runtimeName: string;
  readonly runtimeVersion: string;
  readonly runtimeApiVersion: string;
}

export interface RuntimeCondition {
  readonly type: 'RuntimeReady' | 'NetworkReady';
  readonly status: boolean;
  readonly reason: string;
  readonly message: string;
}

export type ContainerEventType =
  | 'CONTAINER_CREATED_EVENT'
  | 'CONTAINER_STARTED_EVENT'
  | 'CONTAINER_STOPPED_EVENT'
  | 'CONTAINER_DELETED_EVENT';

export interface ContainerEventResponse {
  readonly containerId: string;
  readonly containerEventType: ContainerEventType;
  readonly createdAt: bigint;
}
