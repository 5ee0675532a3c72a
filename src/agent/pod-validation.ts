import type { V1Container } from '@kubernetes/client-node/dist/gen/models/V1Container.js';
import type { V1EnvVar } from '@kubernetes/client-node/dist/gen/models/V1EnvVar.js';
import type { V1EphemeralContainer } from '@kubernetes/client-node/dist/gen/models/V1EphemeralContainer.js';
import type { V1PodSpec } from '@kubernetes/client-node/dist/gen/models/V1PodSpec.js';
import { validateContainerImage, validateImageVolume, validatePullPolicy } from '../policy/index.ts';
import type { StrictDecoder } from './strict-decode.ts';
import { joinPath } from './strict-decode.ts';

const label = '[a-z0-9]([-a-z0-9]*[a-z0-9])?';
const labelPattern = new RegExp(`^${label}$`);
const subdomainPattern = new RegExp(`^${label}(\\.${label})*$`);

/** What is wrong with `name` as a DNS label, in the words of the Kubernetes API; undefined when nothing is. */
export function dnsLabelError(name: string): string | undefined {
  if (name.length > 63) return 'must be no more than 63 bytes';
  if (labelPattern.test(name)) return undefined;
  return `a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '${label}')`;
}

/** The same for names that may have dots: those of pods and of what creates them. */
export function dnsSubdomainError(name: string): string | undefined {
  if (name.length > 253) return 'must be no more than 253 bytes';
  if (subdomainPattern.test(name)) return undefined;
  return `a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '${label}(\\.${label})*')`;
}

export interface RestartPolicyRule {
  readonly allowed: readonly string[];
  /** Whether the default, `Always`, is not among the allowed ones, so that the file must say something. */
  readonly mustBeWritten: boolean;
}

/**
 * The checks of the Kubernetes API that say something about running the pod; texts are the API's.
 * @see https://github.com/kubernetes/kubernetes/blob/v1.36.0/pkg/apis/core/validation/validation.go
 */
export function validatePodSpec(
  decoder: StrictDecoder,
  spec: V1PodSpec,
  path: string,
  restart: RestartPolicyRule,
): void {
  const restartPath = joinPath(path, 'restartPolicy');
  const policy = spec.restartPolicy ?? '';
  if (restart.mustBeWritten && (policy === '' || policy === 'Always'))
    decoder.report(restartPath, `Required value: valid values: ${quotedList(restart.allowed)}`);
  else if (policy !== '' && !restart.allowed.includes(policy))
    decoder.report(restartPath, unsupported(policy, restart.allowed));

  atLeast(decoder, spec.terminationGracePeriodSeconds, 0, joinPath(path, 'terminationGracePeriodSeconds'));
  for (const field of ['hostname', 'hostnameOverride'] as const) {
    const error = spec[field] ? (field === 'hostname' ? dnsLabelError : dnsSubdomainError)(spec[field]) : undefined;
    if (error) decoder.report(joinPath(path, field), invalid(spec[field]!, error));
  }
  const securityPath = joinPath(path, 'securityContext');
  validateIds(decoder, spec.securityContext, securityPath);
  validateSeccomp(decoder, spec.securityContext?.seccompProfile?.type, securityPath);

  if ((spec.containers ?? []).length === 0) decoder.report(joinPath(path, 'containers'), 'Required value');
  (spec.volumes ?? []).forEach(({ image }, index) => {
    if (!image) return;
    const source = {
      reference: image.reference ?? '',
      pullPolicy: image.pullPolicy || 'IfNotPresent',
      insidePod: true,
    };
    for (const { field, text } of validateImageVolume(source)) {
      decoder.report(`${joinPath(path, 'volumes')}[${index}].${field}`, text);
    }
  });
  const names = new Set<string>();
  for (const list of ['initContainers', 'containers', 'ephemeralContainers'] as const) {
    (spec[list] ?? []).forEach((container: V1Container | V1EphemeralContainer, index) => {
      const containerPath = `${joinPath(path, list)}[${index}]`;
      validateContainer(decoder, container, containerPath);
      if (list === 'ephemeralContainers') validateEphemeral(decoder, container, { path: containerPath, spec });
      if (container.name && names.has(container.name))
        decoder.report(`${containerPath}.name`, `Duplicate value: "${container.name}"`);
      names.add(container.name);
    });
  }
}

/** Of a container that is there for debugging, what makes no sense. */
const notEphemeral = [
  ...['lifecycle', 'livenessProbe', 'readinessProbe', 'startupProbe', 'ports'],
  ...['resizePolicy', 'resources', 'restartPolicy', 'restartPolicyRules'],
] as const;

function validateEphemeral(
  decoder: StrictDecoder,
  container: V1EphemeralContainer,
  { path, spec }: { path: string; spec: V1PodSpec },
): void {
  const forbidden = 'Forbidden: cannot be set for an Ephemeral Container';
  for (const field of notEphemeral) {
    // What is empty comes from an export.
    if (Object.keys(container[field] ?? {}).length > 0) decoder.report(`${path}.${field}`, forbidden);
  }
  (container.volumeMounts ?? []).forEach(({ subPath }, index) => {
    if (subPath) decoder.report(`${path}.volumeMounts[${index}].subPath`, forbidden);
  });
  const { targetContainerName: target } = container;
  const others = [...(spec.containers ?? []), ...(spec.initContainers ?? [])];
  if (target && !others.some(({ name }) => name === target))
    decoder.report(`${path}.targetContainerName`, `Not found: ${JSON.stringify(target)}`);
}

function validateContainer(decoder: StrictDecoder, container: V1Container | V1EphemeralContainer, path: string): void {
  if (!container.name) decoder.report(`${path}.name`, 'Required value');
  else {
    const error = dnsLabelError(container.name);
    if (error) decoder.report(`${path}.name`, invalid(container.name, error));
  }
  // An empty policy has a default, so only a written one can be wrong.
  const policyErrors = container.imagePullPolicy ? validatePullPolicy(container.imagePullPolicy) : [];
  for (const problem of [...validateContainerImage(container.image ?? ''), ...policyErrors])
    decoder.report(joinPath(path, problem.field), problem.text);
  (container.env ?? []).forEach((variable, index) => {
    validateVariable(decoder, variable, `${path}.env[${index}]`);
  });

  (container.volumeMounts ?? []).forEach(({ mountPath, subPath = '' }, index) => {
    const mountPlace = `${path}.volumeMounts[${index}]`;
    if (!mountPath) decoder.report(`${mountPlace}.mountPath`, 'Required value');
    if (subPath.startsWith('/')) decoder.report(`${mountPlace}.subPath`, invalid(subPath, 'must be a relative path'));
    if (subPath.split('/').includes('..'))
      decoder.report(`${mountPlace}.subPath`, invalid(subPath, "must not contain '..'"));
  });
  const rules = container.restartPolicyRules ?? [];
  if (container.restartPolicy && !restartPolicies.includes(container.restartPolicy))
    decoder.report(`${path}.restartPolicy`, unsupported(container.restartPolicy, restartPolicies));
  if (rules.length > 0 && !container.restartPolicy)
    decoder.report(`${path}.restartPolicy`, 'Required value: must specify restartPolicy when restart rules are used');
  rules.forEach((rule, index) => {
    const rulePath = `${path}.restartPolicyRules[${index}]`;
    if (!rule.exitCodes) decoder.report(`${rulePath}.exitCodes`, 'Required value: must be specified');
    else if (!['In', 'NotIn'].includes(rule.exitCodes.operator))
      decoder.report(`${rulePath}.exitCodes.operator`, unsupported(rule.exitCodes.operator ?? '', ['In', 'NotIn']));
  });
  validateIds(decoder, container.securityContext, `${path}.securityContext`);
  validateSeccomp(decoder, container.securityContext?.seccompProfile?.type, `${path}.securityContext`);
}

export const restartPolicies: readonly string[] = ['Always', 'OnFailure', 'Never'];

function validateVariable(decoder: StrictDecoder, variable: V1EnvVar, path: string): void {
  if (!variable.name) decoder.report(`${path}.name`, 'Required value');
  else if (!/^[ -<>-~]+$/.test(variable.name))
    decoder.report(
      `${path}.name`,
      invalid(
        variable.name,
        "a valid environment variable name must consist only of printable ASCII characters other than '='",
      ),
    );
  if (!variable.valueFrom) return;
  const sources = Object.keys(variable.valueFrom).length;
  if (variable.value)
    decoder.report(`${path}.valueFrom`, invalid('', 'may not be specified when `value` is not empty'));
  else if (sources === 0)
    decoder.report(
      `${path}.valueFrom`,
      invalid(
        '',
        'must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`',
      ),
    );
  else if (sources > 1)
    decoder.report(`${path}.valueFrom`, invalid('', 'may not have more than one field specified at a time'));
}

function validateIds(
  decoder: StrictDecoder,
  context: { runAsUser?: number; runAsGroup?: number; fsGroup?: number; supplementalGroups?: number[] } | undefined,
  path: string,
): void {
  const ids: [string, number | undefined][] = [
    ['runAsUser', context?.runAsUser],
    ['runAsGroup', context?.runAsGroup],
    ['fsGroup', context?.fsGroup],
    ...(context?.supplementalGroups ?? []).map((group, index): [string, number] => [
      `supplementalGroups[${index}]`,
      group,
    ]),
  ];
  for (const [field, id] of ids) {
    if (id !== undefined && (id < 0 || id > 0x7fffffff))
      decoder.report(`${path}.${field}`, `Invalid value: ${id}: must be between 0 and 2147483647, inclusive`);
  }
}

function validateSeccomp(decoder: StrictDecoder, type: string | undefined, path: string): void {
  const known = ['Localhost', 'RuntimeDefault', 'Unconfined'];
  if (type !== undefined && !known.includes(type))
    decoder.report(`${path}.seccompProfile.type`, unsupported(type, known));
}

function atLeast(decoder: StrictDecoder, value: number | undefined, least: number, path: string): void {
  if (value !== undefined && value < least)
    decoder.report(path, `Invalid value: ${value}: must be greater than or equal to ${least}`);
}

function invalid(value: string, why: string): string {
  return `Invalid value: ${JSON.stringify(value)}: ${why}`;
}

function unsupported(value: string, supported: readonly string[]): string {
  return `Unsupported value: ${JSON.stringify(value)}: supported values: ${quotedList(supported)}`;
}

function quotedList(values: readonly string[]): string {
  return values.map((value) => JSON.stringify(value)).join(', ');
}
