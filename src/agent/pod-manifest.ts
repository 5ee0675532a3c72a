import type { V1ObjectMeta } from '@kubernetes/client-node/dist/gen/models/V1ObjectMeta.js';
import type { V1PodSpec } from '@kubernetes/client-node/dist/gen/models/V1PodSpec.js';
import type { V1Secret } from '@kubernetes/client-node/dist/gen/models/V1Secret.js';
import { isScalar, LineCounter, type Node, parseAllDocuments } from 'yaml';
import { closest } from '../lib/did-you-mean.ts';
import { LadingError } from '../lib/errors.ts';
import { unreachableAnnotationErrors } from '../policy/index.ts';
import { type ManifestProblem, PodManifestError } from './manifest-error.ts';
import type { Pod } from './pod.ts';
import { inspectFields } from './pod-fields.ts';
import { buildPod } from './pod-template.ts';
import {
  dnsLabelError,
  dnsSubdomainError,
  type RestartPolicyRule,
  restartPolicies,
  validatePodSpec,
} from './pod-validation.ts';
import { FilePullSecret, isPullSecretType } from './pull-secret.ts';
import { type Json, joinPath, StrictDecoder } from './strict-decode.ts';

type JsonObject = { [name: string]: Json };

interface Kind {
  readonly apiVersion: string;
  readonly model: string;
  readonly restart: RestartPolicyRule;
  /** How many pods the object asks for; Lading runs one of them. */
  readonly wanted: (spec: JsonObject) => number;
  readonly podName: (name: string, spec: JsonObject) => string;
}

const onlyAlways: RestartPolicyRule = { allowed: ['Always'], mustBeWritten: false };
const sameName = (name: string) => name;
const replicas = (spec: JsonObject) => numberOr(spec.replicas, 1);

const kinds: Readonly<Record<string, Kind>> = {
  Pod: {
    apiVersion: 'v1',
    model: 'V1Pod',
    restart: { allowed: restartPolicies, mustBeWritten: false },
    wanted: () => 1,
    podName: sameName,
  },
  Deployment: {
    apiVersion: 'apps/v1',
    model: 'V1Deployment',
    restart: onlyAlways,
    wanted: replicas,
    podName: sameName,
  },
  DaemonSet: { apiVersion: 'apps/v1', model: 'V1DaemonSet', restart: onlyAlways, wanted: () => 1, podName: sameName },
  StatefulSet: {
    apiVersion: 'apps/v1',
    model: 'V1StatefulSet',
    restart: onlyAlways,
    wanted: replicas,
    podName: (name, spec) => `${name}-${numberOr((spec.ordinals as JsonObject | undefined)?.start, 0)}`,
  },
  Job: {
    apiVersion: 'batch/v1',
    model: 'V1Job',
    restart: { allowed: ['OnFailure', 'Never'], mustBeWritten: true },
    wanted: (spec) =>
      spec.suspend === true ? 0 : Math.min(numberOr(spec.parallelism, 1), Math.max(1, numberOr(spec.completions, 1))),
    podName: sameName,
  },
};
/** What usually stands beside workloads in a file and runs nothing: passed over with a warning. */
const passive = new Set([
  ...['ConfigMap', 'Secret', 'Namespace', 'Service', 'ServiceAccount', 'Ingress', 'NetworkPolicy'],
  ...['PersistentVolume', 'PersistentVolumeClaim', 'StorageClass', 'HorizontalPodAutoscaler', 'PodDisruptionBudget'],
  ...['Role', 'RoleBinding', 'ClusterRole', 'ClusterRoleBinding', 'CustomResourceDefinition'],
]);
const supported = 'Pod and List (v1), Deployment, DaemonSet and StatefulSet (apps/v1), Job (batch/v1)';

export interface ManifestOptions {
  /** The file's name for messages. */
  readonly file: string;
  /**
   * What to do about fields that Lading cannot act on although the container would need them: `refuse` (the default),
   * or `warn` for callers that do not run the pods.
   */
  readonly unsupported?: 'refuse' | 'warn';
}

/**
 * The pods of a manifest file: YAML or JSON, one or several documents, of the kinds Pod, List (of any of these, also
 * nested), Deployment, DaemonSet, StatefulSet and Job.
 *
 * What has a pod template gives one pod, with a stable name: the object's, and `<name>-0` for a StatefulSet. More
 * replicas on one machine would run the same containers side by side and differ in nothing that Lading shows, so a
 * number above 1 is answered with a warning; 0 gives no pod. Objects that run nothing (a Service, say) are passed over
 * with a warning.
 * @throws PodManifestError with all problems of the file, each with line, column and field path
 * @throws LadingError `ERR_LADING_POD_MANIFEST_EMPTY` when the file asks for no pod
 */
export function parsePodManifests(text: string, options: ManifestOptions): Pod[] {
  const lines = new LineCounter();
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: false,
    // Kubernetes reads YAML 1.1 (yes and on are booleans), but without its dates and base-60 numbers.
    schema: 'yaml-1.1',
    customTags: (tags) =>
      tags.filter((tag) => typeof tag === 'string' || !(tag.tag.endsWith(':timestamp') || tag.format === 'TIME')),
  });
  const problems: ManifestProblem[] = [];
  const file = new ManifestFile(options);
  for (const document of 'empty' in documents ? [] : documents) {
    for (const error of document.errors) {
      const { line, col } = lines.linePos(error.pos[0]);
      problems.push({ line, column: col, path: '', text: error.message, kind: 'invalid' });
    }
    if (document.errors.length > 0 || isEmpty(document.contents)) continue;
    const decoder = new StrictDecoder(document, lines);
    file.readObject(decoder, document.contents as Node, '');
    problems.push(...decoder.problems);
  }
  if (problems.length > 0) throw new PodManifestError(options.file, problems);
  const pods = file.podsWithSecrets();
  const [first, ...others] = pods;
  if (!first) {
    const why = [...file.withoutPods, ...file.passedOver.map((object) => `${object} runs nothing`)];
    const reasons = why.length > 0 ? `: ${why.join(', ')}` : '';
    throw new LadingError('ERR_LADING_POD_MANIFEST_EMPTY', `${options.file} asks for no pod${reasons}`, {
      hint: `Give it at least one of ${supported}.`,
    });
  }
  if (file.passedOver.length === 0) return pods;
  const warning = `${options.file}: objects that Lading does not act on: ${file.passedOver.join(', ')}`;
  return [{ ...first, warnings: [warning, ...first.warnings] }, ...others];
}

class ManifestFile {
  readonly pods: Pod[] = [];
  /** Objects that ask for 0 pods, for the message when nothing else is there. */
  readonly withoutPods: string[] = [];
  /** Objects that run nothing. */
  readonly passedOver: string[] = [];
  readonly #options: ManifestOptions;
  readonly #seen = new Set<string>();
  readonly #pullSecrets: FilePullSecret[] = [];

  constructor(options: ManifestOptions) {
    this.#options = options;
  }

  readObject(decoder: StrictDecoder, node: Node | null, path: string): void {
    const kindNode = decoder.child(node, 'kind');
    const apiVersionNode = decoder.child(node, 'apiVersion');
    const kind = textOf(kindNode);
    const apiVersion = textOf(apiVersionNode);
    if (kind === undefined) {
      decoder.reportAt(kindNode ?? node, joinPath(path, 'kind'), `Required value: one of ${supported}`);
      return;
    }
    if (kind === 'Secret' && apiVersion === 'v1' && isPullSecretType(textOf(decoder.child(node, 'type')))) {
      this.#readPullSecret(decoder, node, path);
      return;
    }
    if (passive.has(kind)) {
      this.passedOver.push(`${kind} ${textOf(decoder.child(decoder.child(node, 'metadata'), 'name')) ?? ''}`.trimEnd());
      return;
    }
    if (kind !== 'List' && !Object.hasOwn(kinds, kind)) {
      const meant = closest(kind, [...Object.keys(kinds), 'List']);
      const text = meant
        ? `unknown kind ${kind}; did you mean ${meant}?`
        : `kind ${kind} is not supported; Lading runs ${supported}`;
      decoder.reportAt(kindNode, joinPath(path, 'kind'), text, meant ? 'invalid' : 'unsupported');
      return;
    }
    const expected = kind === 'List' ? 'v1' : kinds[kind]!.apiVersion;
    if (apiVersion !== expected) {
      const text =
        apiVersion === undefined
          ? `Required value: ${expected}`
          : `expected ${expected} for kind ${kind}, found ${apiVersion}`;
      decoder.reportAt(apiVersionNode ?? node, joinPath(path, 'apiVersion'), text);
      return;
    }
    if (kind === 'List') this.#readList(decoder, node, path);
    else this.#readWorkload(decoder, node, path, kind);
  }

  #readList(decoder: StrictDecoder, node: Node | null, path: string): void {
    const { items = [] } = decoder.decodeModel(node, 'V1List', path);
    (items as Json[]).forEach((_, index) => {
      const itemPath = `${joinPath(path, 'items')}[${index}]`;
      this.readObject(decoder, decoder.item(decoder.child(node, 'items'), index), itemPath);
    });
  }

  #readPullSecret(decoder: StrictDecoder, node: Node | null, path: string): void {
    const secret = decoder.decodeModel(node, 'V1Secret', path);
    const metadata = (secret.metadata ?? {}) as V1ObjectMeta;
    const name = this.#checkIdentity(decoder, metadata, path);
    const namespace = metadata.namespace || 'default';
    this.#pullSecrets.push(new FilePullSecret(secret as unknown as V1Secret, { namespace, name }));
  }

  /** The pods with their pull secrets, which may stand behind them in the file. */
  podsWithSecrets(): Pod[] {
    return this.pods.map((pod) => {
      const names = pod.imagePullSecrets;
      const find = (name: string) =>
        this.#pullSecrets.find((secret) => secret.name === name && secret.namespace === pod.metadata.namespace);
      const pullSecrets = names.flatMap((name) => find(name) ?? []);
      const missing = names.filter((name) => !find(name));
      if (missing.length === 0) return { ...pod, pullSecrets };
      const warning = `pull secrets that are not in the file: ${missing.join(', ')}; without them credentials come from the node's docker configuration`;
      return { ...pod, pullSecrets, warnings: [...pod.warnings, warning] };
    });
  }

  #readWorkload(decoder: StrictDecoder, node: Node | null, path: string, kindName: string): void {
    const kind = kinds[kindName]!;
    const object = decoder.decodeModel(node, kind.model, path);
    const metadata = (object.metadata ?? {}) as V1ObjectMeta;
    const ownSpec = (object.spec ?? {}) as JsonObject;
    const templatePath = kindName === 'Pod' ? path : joinPath(path, 'spec.template');
    const template = (kindName === 'Pod' ? object : (ownSpec.template ?? {})) as JsonObject;
    const specPath = joinPath(templatePath, 'spec');
    const name = this.#checkIdentity(decoder, metadata, path);
    const namespace = metadata.namespace || 'default';
    if (template.spec === undefined) {
      decoder.report(specPath, 'Required value');
      return;
    }
    const { annotations = {} } = (template.metadata ?? {}) as V1ObjectMeta;
    for (const { annotation, text } of unreachableAnnotationErrors(annotations)) {
      decoder.report(joinPath(templatePath, `metadata.annotations[${annotation}]`), text);
    }
    validatePodSpec(decoder, template.spec as unknown as V1PodSpec, specPath, kind.restart);

    const label = `${kindName} ${name}`;
    const wanted = kind.wanted(ownSpec);
    const podName = kind.podName(name, ownSpec);
    if (wanted < 1) {
      this.withoutPods.push(`${label} asks for 0`);
      return;
    }
    const problemsBefore = decoder.problems.length;
    const ignored = inspectFields(decoder, template.spec as JsonObject, specPath);
    const pod = buildPod(
      decoder,
      {
        metadata: (template.metadata ?? {}) as V1ObjectMeta,
        spec: template.spec as unknown as V1PodSpec,
        path: specPath,
      },
      { name: podName, namespace, source: { file: this.#options.file, kind: kindName, name } },
    );
    const refused = this.#options.unsupported === 'warn' ? decoder.takeUnsupported(problemsBefore) : [];
    const warnings = refused.map((problem) => `${problem.path}: ${problem.text}`);
    if (wanted > 1) warnings.push(`${label} asks for ${wanted} pods; Lading runs one of them, ${podName}`);
    const controller = kindName === 'Pod' ? [] : Object.keys(ownSpec).filter((field) => !actedOn.has(field));
    const fields = [
      ...controller.map((field) => `${kindName} spec.${field}`),
      ...ignored.map((field) => `spec.${field}`),
    ];
    if (fields.length > 0) warnings.push(`fields that Lading does not act on: ${fields.join(', ')}`);

    const identity = `${namespace}/${podName}`;
    if (this.#seen.has(identity))
      decoder.report(joinPath(path, 'metadata.name'), `the file has a pod ${identity} already`);
    this.#seen.add(identity);
    this.pods.push({ ...pod, pullSecrets: [], warnings });
  }

  /** Reports what is wrong with name and namespace, and returns the name. */
  #checkIdentity(decoder: StrictDecoder, metadata: V1ObjectMeta, path: string): string {
    const namePath = joinPath(path, 'metadata.name');
    const { name = '', namespace = '' } = metadata;
    if (name === '') decoder.report(namePath, 'Required value: name is required');
    else {
      const error = dnsSubdomainError(name);
      if (error) decoder.report(namePath, `Invalid value: ${JSON.stringify(name)}: ${error}`);
    }
    const error = namespace === '' ? undefined : dnsLabelError(namespace);
    if (error)
      decoder.report(joinPath(path, 'metadata.namespace'), `Invalid value: ${JSON.stringify(namespace)}: ${error}`);
    return name;
  }
}

/** Fields of a workload's spec that say which pod to run; the others steer a controller that Lading does not have. */
const actedOn = new Set(['template', 'replicas', 'selector', 'ordinals', 'parallelism', 'completions', 'suspend']);

function numberOr(value: Json | undefined, fallback: number): number {
  return typeof value === 'number' ? value : fallback;
}

function isEmpty(contents: Node | null): boolean {
  return contents === null || (isScalar(contents) && contents.value === null);
}

function textOf(node: Node | null): string | undefined {
  const value = node !== null && 'value' in node ? node.value : undefined;
  return typeof value === 'string' && value !== '' ? value : undefined;
}
