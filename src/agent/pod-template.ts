import { randomUUID } from 'node:crypto';
import { hostname as nodeHostname } from 'node:os';
import type { V1Container } from '@kubernetes/client-node/dist/gen/models/V1Container.js';
import type { V1EnvVar } from '@kubernetes/client-node/dist/gen/models/V1EnvVar.js';
import type { V1EphemeralContainer } from '@kubernetes/client-node/dist/gen/models/V1EphemeralContainer.js';
import type { V1ObjectMeta } from '@kubernetes/client-node/dist/gen/models/V1ObjectMeta.js';
import type { V1PodSpec } from '@kubernetes/client-node/dist/gen/models/V1PodSpec.js';
import type { V1Volume } from '@kubernetes/client-node/dist/gen/models/V1Volume.js';
import type { KeyValue } from '../cri/messages.ts';
import { defaultPullPolicy, type PullPolicy, type RestartPolicy, type RestartRule } from '../policy/index.ts';
import { containerSecurity } from './container-security.ts';
import type { ContainerKind, ImageMount, ImageVolume, Pod, PodContainer } from './pod.ts';
import type { StrictDecoder } from './strict-decode.ts';

/** Labels and annotations of the pod and its validated spec. */
export interface PodTemplate {
  readonly metadata: V1ObjectMeta;
  readonly spec: V1PodSpec;
  /** Path of `spec` in the document, for problems. */
  readonly path: string;
}

/** The pod of a template, defaulted as the Kubernetes API does it. Fields of the pod that variables name are filled in. */
export function buildPod(
  decoder: StrictDecoder,
  { metadata, spec, path }: PodTemplate,
  { name, namespace, source }: { name: string; namespace: string; source: Pod['source'] },
): Omit<Pod, 'warnings' | 'pullSecrets'> {
  const pod: Pod['metadata'] = {
    name,
    namespace,
    uid: randomUUID(),
    labels: metadata.labels ?? {},
    annotations: metadata.annotations ?? {},
  };
  const fieldValue = fieldReader(pod, spec);
  const containers = (list: ContainerKind): PodContainer[] =>
    (spec[list] ?? []).map((container: V1Container | V1EphemeralContainer, index) => {
      const env = (container.env ?? []).map((variable, at) =>
        resolveVariable(decoder, variable, `${path}.${list}[${index}].env[${at}]`, fieldValue),
      );
      return buildContainer(container, env, spec, imageMounts(decoder, container, spec, `${path}.${list}[${index}]`));
    });
  return {
    metadata: pod,
    spec: {
      restartPolicy: (spec.restartPolicy || 'Always') as RestartPolicy,
      terminationGracePeriodSeconds: spec.terminationGracePeriodSeconds ?? 30,
      hostname: spec.hostNetwork ? '' : spec.hostnameOverride || truncateHostname(spec.hostname || name),
      namespaces: {
        network: spec.hostNetwork ? 'NODE' : 'POD',
        pid: spec.hostPID ? 'NODE' : spec.shareProcessNamespace ? 'POD' : 'CONTAINER',
        ipc: spec.hostIPC ? 'NODE' : 'POD',
      },
      initContainers: containers('initContainers'),
      containers: containers('containers'),
      ephemeralContainers: containers('ephemeralContainers'),
      imageVolumes: (spec.volumes ?? []).flatMap(imageVolume),
    },
    imagePullSecrets: (spec.imagePullSecrets ?? []).flatMap(({ name }) => name || []),
    source,
  };
}

function buildContainer(
  container: V1Container | V1EphemeralContainer,
  env: readonly KeyValue[],
  spec: V1PodSpec,
  imageMounts: readonly ImageMount[],
): PodContainer {
  const image = container.image ?? '';
  const { policy, origin } = defaultPullPolicy(image, container.imagePullPolicy);
  return {
    name: container.name,
    image,
    imagePullPolicy: policy as PullPolicy,
    pullPolicyOrigin: origin,
    command: container.command ?? [],
    args: container.args ?? [],
    workingDir: container.workingDir ?? '',
    env,
    restartPolicy: (container.restartPolicy || undefined) as RestartPolicy | undefined,
    restartPolicyRules: (container.restartPolicyRules ?? []).map(
      ({ action, exitCodes }) =>
        ({ action, operator: exitCodes?.operator, values: exitCodes?.values ?? [] }) as RestartRule,
    ),
    imageMounts,
    security: containerSecurity(spec.securityContext, container.securityContext),
  };
}

function imageVolume({ name, image }: V1Volume): ImageVolume[] {
  if (!image) return [];
  const reference = image.reference ?? '';
  const { policy, origin } = defaultPullPolicy(reference, image.pullPolicy);
  return [{ name, reference, pullPolicy: policy as PullPolicy, pullPolicyOrigin: origin }];
}

/** The token of the API server, mounted into every pod that was exported from a cluster; there is no API to use it with. */
const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';

function imageMounts(
  decoder: StrictDecoder,
  container: Pick<V1Container, 'volumeMounts'>,
  spec: V1PodSpec,
  path: string,
): ImageMount[] {
  return (container.volumeMounts ?? []).flatMap(({ name, mountPath, subPath = '' }, index) => {
    const volume = (spec.volumes ?? []).find((candidate) => candidate.name === name);
    if (volume?.image) return [{ volume: name, mountPath, subPath }];
    if (mountPath !== tokenPath) {
      const place = `${path}.volumeMounts[${index}].mountPath`;
      decoder.report(place, 'Lading does not mount volumes yet, except images', 'unsupported');
    }
    return [];
  });
}

function resolveVariable(
  decoder: StrictDecoder,
  { name, value, valueFrom }: V1EnvVar,
  path: string,
  fieldValue: (fieldPath: string) => string | undefined,
): KeyValue {
  if (!valueFrom?.fieldRef) return { key: name, value: value ?? '' };
  const { fieldPath } = valueFrom.fieldRef;
  const resolved = fieldValue(fieldPath ?? '');
  if (resolved === undefined) {
    decoder.report(
      `${path}.valueFrom.fieldRef.fieldPath`,
      `Unsupported value: ${JSON.stringify(fieldPath ?? '')}: Lading knows metadata.name, metadata.namespace, metadata.uid, metadata.labels['<KEY>'], metadata.annotations['<KEY>'], spec.nodeName and spec.serviceAccountName`,
      'unsupported',
    );
  }
  return { key: name, value: resolved ?? '' };
}

/** Values of the pod's fields for `fieldRef`, as far as they are known before it runs. */
function fieldReader(pod: Pod['metadata'], spec: V1PodSpec): (fieldPath: string) => string | undefined {
  const fields: Record<string, string> = {
    'metadata.name': pod.name,
    'metadata.namespace': pod.namespace,
    'metadata.uid': pod.uid,
    'spec.nodeName': spec.nodeName || nodeHostname().toLowerCase(),
    'spec.serviceAccountName': spec.serviceAccountName || 'default',
  };
  return (fieldPath) => {
    const keyed = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath);
    if (keyed) return pod[keyed[1] as 'labels' | 'annotations'][keyed[2]!] ?? '';
    return Object.hasOwn(fields, fieldPath) ? fields[fieldPath] : undefined;
  };
}

/** Host names have at most 63 characters and end in a letter or digit; the kubelet cuts pod names to that. */
function truncateHostname(name: string): string {
  return name.slice(0, 63).replace(/[-.]+$/, '');
}
