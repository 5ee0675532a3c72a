import type { ContainerConfig, Image, ImageSpec, KeyValue, Mount, PodSandboxConfig } from '../cri/messages.ts';
import { securityContextFor } from './container-security.ts';
import { expandVariables } from './expand.ts';
import type { ImageMount, Pod, PodContainer } from './pod.ts';

/** Labels by which tools that speak CRI find a pod's parts. */
const podLabels = ({ metadata }: Pod) => ({
  'io.kubernetes.pod.name': metadata.name,
  'io.kubernetes.pod.namespace': metadata.namespace,
  'io.kubernetes.pod.uid': metadata.uid,
});

/** @param attempt 0 for the pod's first sandbox; each new one has a higher number */
export function sandboxConfig(pod: Pod, attempt: number, logDirectory: string): PodSandboxConfig {
  const { name, namespace, uid, labels, annotations } = pod.metadata;
  return {
    metadata: { name, namespace, uid, attempt },
    hostname: pod.spec.hostname,
    logDirectory,
    labels: { ...labels, ...podLabels(pod) },
    annotations,
    linux: { securityContext: { namespaceOptions: pod.spec.namespaces } },
  };
}

/** Below the sandbox's log directory. */
export function containerLogPath(name: string, attempt: number): string {
  return `${name}/${attempt}.log`;
}

/**
 * The container of one start: variables expanded, the user settled.
 * @param imageRef id of the image that the policy decided on
 * @param image what the runtime says about it
 * @param imageVolumes images by name of the volume
 * @throws Error when the security settings forbid the image's user
 */
export function containerConfig(
  pod: Pod,
  container: PodContainer,
  {
    attempt,
    imageRef,
    image,
    imageVolumes,
  }: {
    attempt: number;
    imageRef: string;
    image: Image | undefined;
    imageVolumes: ReadonlyMap<string, ImageSpec> | undefined;
  },
): ContainerConfig {
  const env = expandEnv(container.env);
  const expand = (text: string) => expandVariables(text, env);
  return {
    metadata: { name: container.name, attempt },
    image: { image: imageRef, userSpecifiedImage: container.image },
    command: container.command.map(expand),
    args: container.args.map(expand),
    workingDir: container.workingDir,
    envs: [...env].map(([key, value]) => ({ key, value })),
    mounts: container.imageMounts.flatMap((mount) => imageMount(mount, imageVolumes?.get(mount.volume))),
    logPath: containerLogPath(container.name, attempt),
    labels: { 'io.kubernetes.container.name': container.name, ...podLabels(pod) },
    annotations: {
      'io.kubernetes.container.restartCount': String(attempt),
      'io.kubernetes.pod.terminationGracePeriod': String(pod.spec.terminationGracePeriodSeconds),
    },
    linux: { securityContext: securityContextFor(pod, container, image) },
  };
}

function imageMount({ mountPath, subPath }: ImageMount, image: ImageSpec | undefined): Mount[] {
  return image ? [{ containerPath: mountPath, hostPath: '', readonly: true, image, imageSubPath: subPath }] : [];
}

/** Each value sees the variables before it; of equal names the last value holds. */
function expandEnv(variables: readonly KeyValue[]): Map<string, string> {
  const env = new Map<string, string>();
  for (const { key, value } of variables) env.set(key, expandVariables(value, env));
  return env;
}
