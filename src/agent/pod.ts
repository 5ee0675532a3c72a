import type { KeyValue, LinuxContainerSecurityContext, NamespaceOption } from '../cri/messages.ts';
import type { PullPolicy, PullSecret, RestartPolicy, RestartRule } from '../policy/index.ts';

/** One pod, read from a manifest, with the defaults of the Kubernetes API filled in. */
export interface Pod {
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    /** Fresh each time a manifest is read: a pod that is run again is a new pod, as it is in a cluster. */
    readonly uid: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly spec: PodSpec;
  /** Names of the Secrets with the pod's credentials for registries. */
  readonly imagePullSecrets: readonly string[];
  /** Those of them that are in the same file, in their order. */
  readonly pullSecrets: readonly PullSecret[];
  /** The object of the file that the pod comes from: the pod itself, or what has a pod template. */
  readonly source: { readonly file: string; readonly kind: string; readonly name: string };
  /** What the user should know before the pod runs, one sentence each. */
  readonly warnings: readonly string[];
}

export interface PodSpec {
  readonly restartPolicy: RestartPolicy;
  readonly terminationGracePeriodSeconds: number;
  /** Empty when the pod uses the node's network: it then has the node's name. */
  readonly hostname: string;
  readonly namespaces: NamespaceOption;
  /** In the order in which they run; those with the restart policy `Always`, sidecars, go on beside the others. */
  readonly initContainers: readonly PodContainer[];
  readonly containers: readonly PodContainer[];
  /** For debugging: each is started once, whatever the others do, and never again. */
  readonly ephemeralContainers: readonly PodContainer[];
  /** Volumes that are images, in the order of the pod. */
  readonly imageVolumes: readonly ImageVolume[];
}

export interface ImageVolume {
  readonly name: string;
  /** As written. */
  readonly reference: string;
  readonly pullPolicy: PullPolicy;
  /** Whether the manifest has the policy or the reference's tag decided it. */
  readonly pullPolicyOrigin: 'written' | 'defaulted';
  /** What the manifest says, when another image is used for this run. */
  readonly insteadOf?: string;
}

/** Where a container sees an image volume. */
export interface ImageMount {
  /** Name of the volume. */
  readonly volume: string;
  readonly mountPath: string;
  /** A path in the image; empty for all of it. */
  readonly subPath: string;
}

/** The list of a pod's specification that a container stands in. */
export type ContainerKind = 'initContainers' | 'containers' | 'ephemeralContainers';

export interface PodContainer {
  readonly name: string;
  /** As written. */
  readonly image: string;
  /** What the manifest says, when another image is used for this run. */
  readonly insteadOf?: string;
  readonly imagePullPolicy: PullPolicy;
  /** Whether the manifest has the policy or the image's tag decided it. */
  readonly pullPolicyOrigin: 'written' | 'defaulted';
  /** The entrypoint array; `$(VAR)` not expanded. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly workingDir: string;
  /** Fields of the pod already filled in, `$(VAR)` not expanded. */
  readonly env: readonly KeyValue[];
  /** The container's own, which goes before the pod's. */
  readonly restartPolicy: RestartPolicy | undefined;
  readonly restartPolicyRules: readonly RestartRule[];
  readonly imageMounts: readonly ImageMount[];
  readonly security: ContainerSecurity;
}

/** The security settings of pod and container, merged. */
export interface ContainerSecurity {
  /** What can be said before the image is known. */
  readonly context: LinuxContainerSecurityContext;
  /** Refuse to start as user 0, or as a user name that may be 0. */
  readonly runAsNonRoot: boolean;
}

/** `name_namespace(uid)`, as the kubelet names pods in messages. */
export function formatPod({ metadata }: Pod): string {
  return `${metadata.name}_${metadata.namespace}(${metadata.uid})`;
}
