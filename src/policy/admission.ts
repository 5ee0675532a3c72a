import { goQuote } from './go-text.ts';
import { combinePullErrors } from './pull-error.ts';

/** Of a pod, what the admission plugin AlwaysPullImages looks at. */
export interface AdmissionPod {
  readonly name: string;
  readonly initContainers: readonly AdmissionContainer[];
  readonly containers: readonly AdmissionContainer[];
  readonly ephemeralContainers: readonly AdmissionContainer[];
  /** All volumes; `image` of those that are image volumes. */
  readonly volumes: readonly { readonly image?: { readonly pullPolicy: string } }[];
}

export interface AdmissionContainer {
  readonly image: string;
  readonly imagePullPolicy: string;
}

/** One request to the Kubernetes API. */
export interface AdmissionRequest {
  readonly operation: string;
  readonly resource: string;
  readonly subresource: string;
  /** Undefined when the object is no pod. */
  readonly pod: AdmissionPod | undefined;
  /** Of an update. */
  readonly oldPod?: AdmissionPod | undefined;
}

export type Admission = { readonly pod: AdmissionPod | undefined } | { readonly error: string };

const containerKinds = ['initContainers', 'containers', 'ephemeralContainers'] as const;
const notAPod = 'Resource was marked with kind Pod but was unable to be converted';

/**
 * The mutating half of AlwaysPullImages: sets the policy Always everywhere in the pod.
 * @see pull-policy.md 2.3
 */
export function admitAlwaysPull(request: AdmissionRequest): Admission {
  if (isIgnored(request)) return { pod: request.pod };
  if (!request.pod) return { error: notAPod };
  const always = (containers: readonly AdmissionContainer[]) =>
    containers.map((container) => ({ ...container, imagePullPolicy: 'Always' }));
  const { pod } = request;
  return {
    pod: {
      ...pod,
      initContainers: always(pod.initContainers),
      containers: always(pod.containers),
      ephemeralContainers: always(pod.ephemeralContainers),
      volumes: pod.volumes.map((volume) =>
        volume.image ? { ...volume, image: { ...volume.image, pullPolicy: 'Always' } } : volume,
      ),
    },
  };
}

/**
 * The validating half: the error of every policy that is not Always, or undefined.
 * @see pull-policy.md 2.3
 */
export function validateAlwaysPull(request: AdmissionRequest): string | undefined {
  if (isIgnored(request)) return undefined;
  const { pod } = request;
  if (!pod) return notAPod;
  const fields = [
    ...containerKinds.flatMap((kind) =>
      pod[kind].map(
        ({ imagePullPolicy }, index) => [`spec.${kind}[${index}].imagePullPolicy`, imagePullPolicy] as const,
      ),
    ),
    ...pod.volumes.flatMap(({ image }, index) =>
      image ? [[`spec.volumes[${index}].image.pullPolicy`, image.pullPolicy] as const] : [],
    ),
  ];
  const errors = fields
    .filter(([, policy]) => policy !== 'Always')
    .map(
      ([field, policy]) =>
        `pods ${goQuote(pod.name)} is forbidden: ${field}: Unsupported value: ${goQuote(policy)}: supported values: "Always"`,
    );
  return errors.length > 0 ? combinePullErrors(errors) : undefined;
}

function isIgnored({ operation, resource, subresource, pod, oldPod }: AdmissionRequest): boolean {
  if (resource !== 'pods' || subresource !== '') return true;
  if (operation !== 'CREATE' && operation !== 'UPDATE') return true;
  if (operation !== 'UPDATE' || !pod || !oldPod) return false;
  const known = new Set(imagesOf(oldPod));
  return imagesOf(pod).every((image) => known.has(image));
}

function imagesOf(pod: AdmissionPod): string[] {
  return containerKinds.flatMap((kind) => pod[kind].map(({ image }) => image));
}
