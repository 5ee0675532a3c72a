import type { V1PodSecurityContext } from '@kubernetes/client-node/dist/gen/models/V1PodSecurityContext.js';
import type { V1SecurityContext } from '@kubernetes/client-node/dist/gen/models/V1SecurityContext.js';
import type { Image, LinuxContainerSecurityContext } from '../cri/messages.ts';
import { type ContainerSecurity, formatPod, type Pod, type PodContainer } from './pod.ts';

/** What the kubelet hides from containers that are not privileged: the list that Docker made. */
const maskedPaths = [
  '/proc/asound',
  '/proc/acpi',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/sys/firmware',
  '/sys/devices/virtual/powercap',
];
const readonlyPaths = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];

/** The settings of one container: its own go before those of the pod, which hold for every container. */
export function containerSecurity(
  pod: V1PodSecurityContext | undefined,
  own: V1SecurityContext | undefined,
): ContainerSecurity {
  const user = own?.runAsUser ?? pod?.runAsUser;
  const group = own?.runAsGroup ?? pod?.runAsGroup;
  const seccomp = own?.seccompProfile?.type ?? pod?.seccompProfile?.type;
  const groups = [...(pod?.supplementalGroups ?? []), ...(pod?.fsGroup === undefined ? [] : [pod.fsGroup])];
  const context: LinuxContainerSecurityContext = {
    ...(user === undefined ? {} : { runAsUser: { value: user } }),
    ...(group === undefined ? {} : { runAsGroup: { value: group } }),
    supplementalGroups: groups,
    readonlyRootfs: own?.readOnlyRootFilesystem ?? false,
    noNewPrivs: own?.allowPrivilegeEscalation === false,
    capabilities: {
      addCapabilities: own?.capabilities?.add ?? [],
      dropCapabilities: own?.capabilities?.drop ?? [],
    },
    ...(seccomp === undefined ? {} : { seccomp: { profileType: seccomp as 'RuntimeDefault' | 'Unconfined' } }),
    maskedPaths,
    readonlyPaths,
  };
  return { context, runAsNonRoot: own?.runAsNonRoot ?? pod?.runAsNonRoot ?? false };
}

/**
 * The settings with the user filled in: the pod's, else the image's, else 0; the kubelet always says who.
 * @throws Error in the kubelet's words when the user is, or may be, root and must not be
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/kubelet/kuberuntime/security_context.go
 */
export function securityContextFor(
  pod: Pod,
  container: PodContainer,
  image: Image | undefined,
): LinuxContainerSecurityContext {
  const { context, runAsNonRoot } = container.security;
  const where = `(pod: "${formatPod(pod)}", container: ${container.name})`;
  const imageUser = image?.uid?.value;
  const imageUsername = imageUser === undefined ? (image?.username ?? '') : '';
  if (runAsNonRoot) {
    if (context.runAsUser?.value === 0) throw new Error(`container's runAsUser breaks non-root policy ${where}`);
    if (context.runAsUser === undefined) {
      if (imageUsername !== '')
        throw new Error(
          `container has runAsNonRoot and image has non-numeric user (${imageUsername}), cannot verify user is non-root ${where}`,
        );
      if ((imageUser ?? 0) === 0) throw new Error(`container has runAsNonRoot and image will run as root ${where}`);
    }
  }
  if (context.runAsUser !== undefined) return context;
  if (imageUsername !== '') return { ...context, runAsUsername: imageUsername };
  return { ...context, runAsUser: { value: imageUser ?? 0 } };
}
