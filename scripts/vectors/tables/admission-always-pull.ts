import { type AdmissionPod, admitAlwaysPull, validateAlwaysPull } from '../../../src/policy/index.ts';
import { type Check, unknownKind, type VectorCase } from '../vector-table.ts';

export const check: Check = ({ input: { phase, operation, resource, subresource, objectKind, pod, oldPod } }) => {
  const request = {
    operation,
    resource,
    subresource,
    pod: objectKind === 'Pod' ? podOf(pod) : undefined,
    oldPod: oldPod ? podOf(oldPod) : undefined,
  };
  if (phase === 'validate') return { actual: { error: validateAlwaysPull(request) } };
  if (phase !== 'admit') return unknownKind(phase);
  const admission = admitAlwaysPull(request);
  if ('error' in admission) return { actual: { error: admission.error, policies: policiesOf(request.pod) } };
  return { actual: { error: null, policies: policiesOf(admission.pod) } };
};

function podOf(pod: VectorCase['pod']): AdmissionPod {
  const containers = (pairs: readonly [string, string][]) =>
    pairs.map(([image, imagePullPolicy]) => ({ image, imagePullPolicy }));
  return {
    name: '123',
    initContainers: containers(pod.initContainers),
    containers: containers(pod.containers),
    ephemeralContainers: containers(pod.ephemeralContainers),
    volumes: pod.imageVolumes.map((pullPolicy: string) => ({ image: { pullPolicy } })),
  };
}

function policiesOf(pod: AdmissionPod | undefined): unknown {
  if (!pod) return undefined;
  const policies = (containers: AdmissionPod['containers']) => containers.map(({ imagePullPolicy }) => imagePullPolicy);
  return {
    initContainers: policies(pod.initContainers),
    containers: policies(pod.containers),
    ephemeralContainers: policies(pod.ephemeralContainers),
    imageVolumes: pod.volumes.map(({ image }) => image?.pullPolicy),
  };
}
