import { listItemType, modelFields } from './model-fields.ts';
import type { Json, StrictDecoder } from './strict-decode.ts';
import { joinPath } from './strict-decode.ts';

/**
 * What Lading does with a field that Kubernetes knows: acts on it; leaves it alone and says so, because the container
 * does the same without it; or refuses the pod, because the container would do something else.
 */
type Treatment = 'used' | Ignored | Refused;
interface Ignored {
  /** What holds instead; empty when nothing needs to be said. */
  readonly ignored: string;
  /** The values that are not acted on; without it all but the empty ones. */
  readonly when?: (value: Json) => boolean;
}
interface Refused {
  readonly refused: string;
  /** The values that are refused; without it all but the empty ones. */
  readonly when?: (value: Json) => boolean;
}

type Volume = { readonly image?: Json };

const ignored: Ignored = { ignored: '' };
const notYet = (what: string): Refused => ({ refused: `Lading does not ${what} yet` });
const exceptFor = (harmless: readonly Json[], what: string): Refused => ({
  ...notYet(what),
  when: (value) => !harmless.includes(value),
});

const container: Readonly<Record<string, Treatment>> = {
  args: 'used',
  command: 'used',
  env: 'used',
  envFrom: notYet('read ConfigMaps and Secrets'),
  image: 'used',
  imagePullPolicy: 'used',
  lifecycle: notYet('run lifecycle hooks'),
  livenessProbe: ignored,
  name: 'used',
  ports: ignored,
  readinessProbe: ignored,
  resizePolicy: ignored,
  resources: ignored,
  restartPolicy: 'used',
  restartPolicyRules: 'used',
  securityContext: 'used',
  startupProbe: ignored,
  stdin: notYet('attach an input to containers'),
  stdinOnce: ignored,
  terminationMessagePath: ignored,
  terminationMessagePolicy: ignored,
  tty: notYet('give containers a terminal'),
  volumeDevices: notYet('map block devices'),
  volumeMounts: 'used',
  workingDir: 'used',
};

/**
 * Every field of the types that make up a pod. Fields that a later Kubernetes adds have no entry and are refused, so
 * that nothing is left out in silence; a test compares the table with the API's own description.
 */
export const treatments: Readonly<Record<string, Readonly<Record<string, Treatment>>>> = {
  V1PodSpec: {
    activeDeadlineSeconds: { ignored: 'the pod has no deadline' },
    affinity: ignored,
    automountServiceAccountToken: ignored,
    containers: 'used',
    dnsConfig: ignored,
    dnsPolicy: ignored,
    enableServiceLinks: ignored,
    ephemeralContainers: 'used',
    hostAliases: notYet('write /etc/hosts'),
    hostIPC: 'used',
    hostNetwork: 'used',
    hostPID: 'used',
    hostUsers: { refused: 'Lading does not give pods a user namespace yet', when: (value) => value === false },
    hostname: 'used',
    hostnameOverride: 'used',
    imagePullSecrets: 'used',
    initContainers: 'used',
    nodeName: 'used',
    nodeSelector: ignored,
    os: 'used',
    overhead: ignored,
    preemptionPolicy: ignored,
    priority: ignored,
    priorityClassName: ignored,
    readinessGates: ignored,
    resourceClaims: notYet('allocate devices'),
    resources: ignored,
    restartPolicy: 'used',
    runtimeClassName: notYet('choose a runtime per pod'),
    schedulerName: ignored,
    schedulingGates: ignored,
    schedulingGroup: ignored,
    securityContext: 'used',
    serviceAccount: ignored,
    serviceAccountName: 'used',
    setHostnameAsFQDN: notYet('set the host name to a domain name'),
    shareProcessNamespace: 'used',
    subdomain: ignored,
    terminationGracePeriodSeconds: 'used',
    tolerations: ignored,
    topologySpreadConstraints: ignored,
    // Images are mounted; others are refused where a container mounts them.
    volumes: { ignored: '', when: (value) => (value as Volume[]).some(({ image }) => !image) },
  },
  V1LocalObjectReference: { name: 'used' },
  V1PodOS: { name: exceptFor(['linux'], 'run containers of other systems than Linux') },
  V1PodSecurityContext: {
    appArmorProfile: 'used',
    fsGroup: 'used',
    fsGroupChangePolicy: ignored,
    runAsGroup: 'used',
    runAsNonRoot: 'used',
    runAsUser: 'used',
    seLinuxChangePolicy: ignored,
    seLinuxOptions: ignored,
    seccompProfile: 'used',
    supplementalGroups: 'used',
    supplementalGroupsPolicy: exceptFor(['', 'Merge'], "leave out the groups of the image's /etc/group"),
    sysctls: notYet('set kernel parameters'),
    windowsOptions: ignored,
  },
  V1Container: container,
  V1EphemeralContainer: {
    ...container,
    targetContainerName: { ignored: 'it sees the processes of other containers only with shareProcessNamespace' },
  },
  V1VolumeMount: {
    // Refused for volumes that are no images, in the pod's template.
    mountPath: 'used',
    mountPropagation: ignored,
    name: 'used',
    readOnly: 'used',
    recursiveReadOnly: ignored,
    subPath: 'used',
    subPathExpr: notYet('expand variables in paths of volumes'),
  },
  V1ContainerRestartRule: {
    action: exceptFor(['Restart'], 'restart all containers of a pod together'),
    exitCodes: 'used',
  },
  V1SecurityContext: {
    allowPrivilegeEscalation: 'used',
    appArmorProfile: 'used',
    capabilities: 'used',
    privileged: notYet('run privileged containers'),
    procMount: exceptFor(['', 'Default'], 'unmask /proc'),
    readOnlyRootFilesystem: 'used',
    runAsGroup: 'used',
    runAsNonRoot: 'used',
    runAsUser: 'used',
    seLinuxOptions: ignored,
    seccompProfile: 'used',
    windowsOptions: ignored,
  },
  V1SeccompProfile: {
    localhostProfile: ignored,
    type: { ...notYet('load seccomp profiles from files'), when: (value) => value === 'Localhost' },
  },
  V1AppArmorProfile: {
    localhostProfile: ignored,
    type: exceptFor(['RuntimeDefault', 'Unconfined'], 'load AppArmor profiles'),
  },
  V1EnvVar: { name: 'used', value: 'used', valueFrom: 'used' },
  V1EnvVarSource: {
    configMapKeyRef: notYet('read ConfigMaps'),
    fieldRef: 'used',
    fileKeyRef: notYet('read variables from files'),
    resourceFieldRef: notYet('know the resources of containers'),
    secretKeyRef: notYet('read Secrets'),
  },
};

/**
 * Goes through a pod's fields that are set and tells what is not acted on.
 * @returns the ignored fields, by their paths below `path`, with a note where one is due
 */
export function inspectFields(decoder: StrictDecoder, spec: { [name: string]: Json }, path: string): string[] {
  const found: string[] = [];
  const visit = (model: string, value: { [name: string]: Json }, at: string) => {
    for (const [name, child] of Object.entries(value)) {
      const childPath = joinPath(at, name);
      const treatment = treatments[model]![name] ?? notYet(`know this field of Kubernetes`);
      if (treatment === 'used') visitUsed(model, name, child, childPath);
      else if ('refused' in treatment) {
        if (treatment.when ? treatment.when(child) : !isEmpty(child))
          decoder.report(childPath, treatment.refused, 'unsupported');
      } else if (treatment.when ? treatment.when(child) : !isEmpty(child)) {
        const relative = childPath.slice(path.length + 1);
        found.push(treatment.ignored === '' ? relative : `${relative} (${treatment.ignored})`);
      }
    }
  };
  const visitUsed = (model: string, name: string, value: Json, at: string) => {
    const type = modelFields(model).get(name)!.type;
    const inner = listItemType(type) ?? type;
    if (!(inner in treatments)) return;
    if (Array.isArray(value))
      value.forEach((item, index) => {
        visit(inner, item as { [name: string]: Json }, `${at}[${index}]`);
      });
    else visit(inner, value as { [name: string]: Json }, at);
  };
  visit('V1PodSpec', spec, path);
  return found;
}

/** Kubernetes makes no difference between an absent field and the empty value of its type. */
function isEmpty(value: Json): boolean {
  if (Array.isArray(value)) return value.length === 0;
  if (typeof value === 'object' && value !== null) return Object.keys(value).length === 0;
  return value === null || value === false || value === '' || value === 0;
}
