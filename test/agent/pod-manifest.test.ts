import { describe, expect, test } from 'vitest';
import { type ManifestOptions, type Pod, PodManifestError, parsePodManifests } from '../../src/agent/index.ts';
import { LadingError } from '../../src/lib/errors.ts';

function parse(text: string, options: Partial<ManifestOptions> = {}): Pod[] {
  return parsePodManifests(text, { file: 'pod.yaml', ...options });
}

/** The lines of the error that parsing throws. */
function problems(text: string): string[] {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof LadingError) return error.message.split('\n');
    throw error;
  }
  throw new Error('the manifest was accepted');
}

/** A pod whose spec is given from its second indentation on. */
function podWith(spec: string): string {
  return `apiVersion: v1
kind: Pod
metadata:
  name: web
spec:
${spec}`;
}

const container = `  containers:
  - name: app
    image: app:1
`;

describe('pods', () => {
  test('a small pod gets the defaults of the Kubernetes API', () => {
    const [pod] = parse(podWith(container));
    expect(pod).toMatchObject({
      metadata: { name: 'web', namespace: 'default', labels: {}, annotations: {} },
      spec: {
        restartPolicy: 'Always',
        terminationGracePeriodSeconds: 30,
        hostname: 'web',
        namespaces: { network: 'POD', pid: 'CONTAINER', ipc: 'POD' },
        initContainers: [],
        containers: [
          {
            name: 'app',
            image: 'app:1',
            imagePullPolicy: 'IfNotPresent',
            pullPolicyOrigin: 'defaulted',
            command: [],
            args: [],
            workingDir: '',
            env: [],
            restartPolicy: undefined,
          },
        ],
      },
      source: { file: 'pod.yaml', kind: 'Pod', name: 'web' },
      warnings: [],
    });
    expect(pod!.metadata.uid).toMatch(/^[0-9a-f-]{36}$/);
    expect(parse(podWith(container))[0]!.metadata.uid).not.toBe(pod!.metadata.uid);
  });

  test.each([
    ['app', '', 'Always', 'defaulted'],
    ['app:latest', '', 'Always', 'defaulted'],
    ['app:2', '', 'IfNotPresent', 'defaulted'],
    ['app:2', 'Never', 'Never', 'written'],
    ['app', 'IfNotPresent', 'IfNotPresent', 'written'],
  ])('image %s with policy "%s" has the policy %s, %s', (image, written, imagePullPolicy, pullPolicyOrigin) => {
    const [pod] = parse(podWith(`  containers:\n  - {name: a, image: "${image}", imagePullPolicy: "${written}"}\n`));
    expect(pod!.spec.containers[0]).toMatchObject({ imagePullPolicy, pullPolicyOrigin });
  });

  test('JSON is read too, and null counts as absent', () => {
    const spec = { restartPolicy: null, containers: [{ name: 'a', image: 'b', env: null, command: ['x', null] }] };
    const [pod] = parse(
      JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata: { name: 'j' }, spec, status: { phase: 3 } }),
    );
    expect(pod!.spec).toMatchObject({ restartPolicy: 'Always', containers: [{ command: ['x', ''], env: [] }] });
  });

  test('anchors, aliases and merge keys are followed', () => {
    const [pod] = parse(
      podWith(`  containers:
  - &base
    name: one
    image: app:1
    command: [run]
  - <<: *base
    name: two
    args: &args [x]
  - {<<: [{name: three}, *base], args: *args}
`),
    );
    expect(pod!.spec.containers.map(({ name, image, command, args }) => ({ name, image, command, args }))).toEqual([
      { name: 'one', image: 'app:1', command: ['run'], args: [] },
      { name: 'two', image: 'app:1', command: ['run'], args: ['x'] },
      { name: 'three', image: 'app:1', command: ['run'], args: ['x'] },
    ]);
  });

  test('variables from fields of the pod are filled in', () => {
    const [pod] = parse(`apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {tier: front}, annotations: {a.b/c: note}}
spec:
  nodeName: node-7
  containers:
  - name: app
    image: app:1
    env:
    - {name: PLAIN, value: x}
    - {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}
    - {name: NS, valueFrom: {fieldRef: {apiVersion: v1, fieldPath: metadata.namespace}}}
    - {name: TIER, valueFrom: {fieldRef: {fieldPath: "metadata.labels['tier']"}}}
    - {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['a.b/c']"}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}
`);
    expect(pod!.spec.containers[0]!.env.map(({ key, value }) => `${key}=${value}`)).toEqual([
      'PLAIN=x',
      'NAME=web',
      'NS=shop',
      'TIER=front',
      'NOTE=note',
      'NODE=node-7',
      'ACCOUNT=default',
    ]);
  });

  test('host names are cut as the kubelet does it', () => {
    const name = `${'a'.repeat(61)}-.b.c`.replace('-.', '.x.');
    const [pod] = parse(podWith(container).replace('name: web', `name: ${name}`));
    expect(pod!.spec.hostname).toBe(`${'a'.repeat(61)}.x`);
    expect(parse(podWith(`  hostNetwork: true\n${container}`))[0]!.spec.hostname).toBe('');
    expect(parse(podWith(`  hostname: box\n${container}`))[0]!.spec.hostname).toBe('box');
  });

  test('the security settings of a container go before those of the pod', () => {
    const [pod] = parse(
      podWith(`  securityContext: {runAsUser: 10, runAsGroup: 20, runAsNonRoot: true, supplementalGroups: [1], fsGroup: 2}
  containers:
  - {name: a, image: a, securityContext: {runAsUser: 11, runAsNonRoot: false, seccompProfile: {type: Unconfined}}}
  - {name: b, image: b}
`),
    );
    expect(pod!.spec.containers.map(({ security }) => security)).toMatchObject([
      {
        context: {
          runAsUser: { value: 11 },
          runAsGroup: { value: 20 },
          supplementalGroups: [1, 2],
          seccomp: { profileType: 'Unconfined' },
        },
        runAsNonRoot: false,
      },
      {
        context: { runAsUser: { value: 10 }, runAsGroup: { value: 20 }, supplementalGroups: [1, 2] },
        runAsNonRoot: true,
      },
    ]);
  });
});

describe('workloads', () => {
  const workload = (
    apiVersion: string,
    kind: string,
    spec: string,
    template = container.replaceAll(/^/gm, '    ').trimEnd(),
  ) => `apiVersion: ${apiVersion}
kind: ${kind}
metadata: {name: shop, namespace: prod}
spec:
${spec}  template:
    metadata: {labels: {app: shop}}
    spec:
${template}
`;

  test.each([
    ['apps/v1', 'Deployment', 'shop'],
    ['apps/v1', 'DaemonSet', 'shop'],
    ['apps/v1', 'StatefulSet', 'shop-0'],
  ])('%s %s gives the pod %s', (apiVersion, kind, name) => {
    const [pod, ...more] = parse(workload(apiVersion, kind, '  selector: {matchLabels: {app: shop}}\n'));
    expect(more).toEqual([]);
    expect(pod).toMatchObject({
      metadata: { name, namespace: 'prod', labels: { app: 'shop' } },
      spec: { restartPolicy: 'Always' },
      source: { kind, name: 'shop' },
      warnings: [],
    });
  });

  test('a Job runs to its end', () => {
    const job = (restartPolicy: string) =>
      workload('batch/v1', 'Job', '', `      ${restartPolicy}\n${container.replaceAll(/^/gm, '    ').trimEnd()}`);
    expect(parse(job('restartPolicy: Never'))[0]).toMatchObject({
      metadata: { name: 'shop' },
      spec: { restartPolicy: 'Never' },
    });
    expect(problems(job(''))).toEqual([
      expect.stringContaining('spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'),
    ]);
    expect(problems(job('restartPolicy: Always'))).toHaveLength(1);
  });

  test('a Deployment restarts its pods always', () => {
    const text = workload(
      'apps/v1',
      'Deployment',
      '',
      `      restartPolicy: Never\n${container.replaceAll(/^/gm, '    ').trimEnd()}`,
    );
    expect(problems(text)).toEqual([
      'pod.yaml:8:22: spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ]);
  });

  test('several replicas are one pod and a warning; what steers controllers is ignored', () => {
    const [pod] = parse(workload('apps/v1', 'Deployment', '  replicas: 3\n  strategy: {type: Recreate}\n'));
    expect(pod!.warnings).toEqual([
      'Deployment shop asks for 3 pods; Lading runs one of them, shop',
      'fields that Lading does not act on: Deployment spec.strategy',
    ]);
    const [indexed] = parse(workload('apps/v1', 'StatefulSet', '  replicas: 2\n  ordinals: {start: 5}\n'));
    expect(indexed!.metadata.name).toBe('shop-5');
  });

  test.each([
    ['apps/v1', 'Deployment', '  replicas: 0\n'],
    ['batch/v1', 'Job', '  suspend: true\n'],
    ['batch/v1', 'Job', '  parallelism: 0\n'],
  ])('%s %s without pods is said so', (apiVersion, kind, spec) => {
    const text = workload(
      apiVersion,
      kind,
      spec,
      `      restartPolicy: ${kind === 'Job' ? 'Never' : 'Always'}\n${container.replaceAll(/^/gm, '    ').trimEnd()}`,
    );
    expect(() => parse(text)).toThrow(
      expect.objectContaining({
        code: 'ERR_LADING_POD_MANIFEST_EMPTY',
        message: `pod.yaml asks for no pod: ${kind} shop asks for 0`,
      }),
    );
    expect(parse(`${text}---\n${podWith(container)}`)).toHaveLength(1);
  });
});

describe('several objects', () => {
  test('documents and nested lists are read in order; empty documents are nothing', () => {
    const item = (name: string) => ({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name },
      spec: { containers: [{ name, image: 'i' }] },
    });
    const list = (...items: unknown[]) => ({
      apiVersion: 'v1',
      kind: 'List',
      metadata: { resourceVersion: '' },
      items,
    });
    const pods = parse(
      `---\n# nothing\n---\n${JSON.stringify(list(item('a'), list(item('b'), item('c'))))}\n---\n${JSON.stringify(item('d'))}\n---\n`,
    );
    expect(pods.map(({ metadata }) => metadata.name)).toEqual(['a', 'b', 'c', 'd']);
  });

  test('problems of all documents are listed, in the order of the file', () => {
    expect(
      problems(
        `${podWith(container).replace('image:', 'imag:')}---\n${podWith('  containers: []\n').replace('web', 'Web')}`,
      ),
    ).toEqual([
      'pod.yaml:7:5: spec.containers[0].image: Required value',
      'pod.yaml:8:5: spec.containers[0].imag: unknown field; did you mean image?',
      `pod.yaml:13:9: metadata.name: Invalid value: "Web": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')`,
      'pod.yaml:15:15: spec.containers: Required value',
    ]);
  });

  test('two pods of one name are one too many', () => {
    expect(problems(`${podWith(container)}---\n${podWith(container)}`)).toEqual([
      'pod.yaml:13:9: metadata.name: the file has a pod default/web already',
    ]);
  });

  test('a path inside a list says which item', () => {
    const list = {
      apiVersion: 'v1',
      kind: 'List',
      items: [{ apiVersion: 'v1', kind: 'Pod', metadata: {}, spec: { containers: [{}] } }],
    };
    expect(problems(JSON.stringify(list)).map((line) => line.replace(/^pod.yaml:1:\d+: /, ''))).toEqual([
      'items[0].metadata.name: Required value: name is required',
      'items[0].spec.containers[0].name: Required value',
      'items[0].spec.containers[0].image: Required value',
    ]);
  });

  test.each([
    ['', 'pod.yaml asks for no pod'],
    ['# only a comment\n', 'pod.yaml asks for no pod'],
    ['{apiVersion: v1, kind: List, items: []}', 'pod.yaml asks for no pod'],
  ])('no pod at all: %j', (text, message) => {
    expect(() => parse(text)).toThrow(expect.objectContaining({ code: 'ERR_LADING_POD_MANIFEST_EMPTY', message }));
  });
});

describe('kinds', () => {
  test.each([
    ['kind: Pods', 'pod.yaml:2:7: kind: unknown kind Pods; did you mean Pod?'],
    ['kind: deployment', 'pod.yaml:2:7: kind: unknown kind deployment; did you mean Deployment?'],
    ['kind: Statefulset', 'pod.yaml:2:7: kind: unknown kind Statefulset; did you mean StatefulSet?'],
    [
      'kind: CronJob',
      'pod.yaml:2:7: kind: kind CronJob is not supported; Lading runs Pod and List (v1), Deployment, DaemonSet and StatefulSet (apps/v1), Job (batch/v1)',
    ],
    ['kind: Deployment', 'pod.yaml:1:13: apiVersion: expected apps/v1 for kind Deployment, found v1'],
    [
      'kind: 7',
      'pod.yaml:2:7: kind: Required value: one of Pod and List (v1), Deployment, DaemonSet and StatefulSet (apps/v1), Job (batch/v1)',
    ],
  ])('%s', (line, expected) => {
    expect(problems(`apiVersion: v1\n${line}\nmetadata: {name: a}\n`)).toEqual([expected]);
  });

  test('only a kind that Lading does not run is unsupported, a misspelt one is invalid', () => {
    const codeOf = (kind: string) => {
      try {
        return parse(`{apiVersion: v1, kind: ${kind}}`);
      } catch (error) {
        return (error as PodManifestError).code;
      }
    };
    expect(codeOf('CronJob')).toBe('ERR_LADING_POD_MANIFEST_UNSUPPORTED');
    expect(codeOf('Podd')).toBe('ERR_LADING_POD_MANIFEST_INVALID');
  });

  test('objects that run nothing are passed over with a warning', () => {
    const pod = '{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, image: i}]}}';
    const service = '{apiVersion: v1, kind: Service, metadata: {name: web}}';
    const [read, ...more] = parse(
      `${service}\n---\n${pod}\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}\n`,
    );
    expect(more).toEqual([]);
    expect(read!.warnings).toContain('pod.yaml: objects that Lading does not act on: Service web, ConfigMap c');
    expect(() => parse(service)).toThrow('pod.yaml asks for no pod: Service web runs nothing');
  });

  test('a document that is no object at all', () => {
    expect(problems('just text')).toEqual([expect.stringMatching(/^pod.yaml:1:1: kind: Required value/)]);
    expect(problems('- a\n- b\n')).toHaveLength(1);
  });
});

describe('strictness', () => {
  test.each([
    ['imagePullPolcy: Always', 'spec.containers[0].imagePullPolcy: unknown field; did you mean imagePullPolicy?'],
    ['ImagePullPolicy: Always', 'spec.containers[0].ImagePullPolicy: unknown field; did you mean imagePullPolicy?'],
    ['comand: [x]', 'spec.containers[0].comand: unknown field; did you mean command?'],
    ['enviroment: []', 'spec.containers[0].enviroment: unknown field'],
    [
      'hostNetwork: true',
      'spec.containers[0].hostNetwork: unknown field; it belongs further out: is it indented too far?',
    ],
    [
      'runAsUser: 1',
      'spec.containers[0].runAsUser: unknown field; did you mean spec.containers[0].securityContext.runAsUser?',
    ],
    ['command: run', 'spec.containers[0].command: expected a list, found the string "run"', 14],
    ['command: {a: b}', 'spec.containers[0].command: expected a list, found a map', 14],
    ['args: [1]', 'spec.containers[0].args[0]: expected a string, found the number 1; put it in quotes: "1"', 12],
    ['tty: "yes"', 'spec.containers[0].tty: expected true or false, found the string "yes"', 10],
    ['env: {A: b}', 'spec.containers[0].env: expected a list, found a map', 10],
    [
      'env: [{name: A, value: yes}]',
      'spec.containers[0].env[0].value: expected a string, found the boolean yes; put it in quotes: "yes"',
      28,
    ],
    [
      'env: [{name: A, value: 1.10}]',
      'spec.containers[0].env[0].value: expected a string, found the number 1.10; put it in quotes: "1.10"',
      28,
    ],
    ['env: [A=b]', 'spec.containers[0].env[0]: expected a map of fields, found the string "A=b"', 11],
    [
      'livenessProbe: {httpGet: {prot: 80}}',
      'spec.containers[0].livenessProbe.httpGet.prot: unknown field; did you mean port?',
      31,
    ],
    [
      'ports: [{containerPort: 80.5}]',
      'spec.containers[0].ports[0].containerPort: expected an integer, found the number 80.5',
      29,
    ],
    [
      'ports: [{containerPort: 99999999999}]',
      'spec.containers[0].ports[0].containerPort: the number 99999999999 is too large',
      29,
    ],
    ['name: again', 'spec.containers[0].name: repeated field; line 7 has it already'],
  ])('%s', (line, expected, column = 5) => {
    expect(problems(podWith(`${container}    ${line}\n`))).toEqual([`pod.yaml:9:${column}: ${expected}`]);
  });

  test.each([
    'resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 100m}}',
    'livenessProbe: {httpGet: {port: 80, path: /}}',
    'livenessProbe: {httpGet: {port: http}, periodSeconds: 5}',
    'env: [{name: A, value: 2001-01-01}, {name: B, value: 12:30:45}]',
    'args: ["1", \'yes\', plain text, 0x, 1.2.3]',
  ])('accepts %s', (line) => {
    expect(parse(podWith(`${container}    ${line}\n`))).toHaveLength(1);
  });

  test('a field of the container that stands in the pod is told where it belongs', () => {
    expect(problems(podWith(`  imagePullPolicy: Always\n${container}`))).toEqual([
      'pod.yaml:6:3: spec.imagePullPolicy: unknown field; did you mean spec.containers[].imagePullPolicy?',
    ]);
  });

  test('YAML that cannot be read is reported with its place', () => {
    expect(problems(podWith('  containers: [\n'))).toEqual([expect.stringMatching(/^pod.yaml:7:1: /)]);
    expect(problems(podWith('  containers: *nowhere\n'))).toContain(
      'pod.yaml:6:15: there is no anchor &nowhere before the alias *nowhere',
    );
  });

  test('aliases that multiply or go in circles are an error, not the end of the memory', () => {
    const levels = Array.from(
      { length: 9 },
      (_, level) => `x${level + 1}: &x${level + 1} [${Array(10).fill(`*x${level}`)}]`,
    );
    const bomb = `x0: &x0 {name: a}\n${levels.join('\n')}\napiVersion: v1\nkind: Pod\nmetadata: {name: a, managedFields: [{fieldsV1: *x9}]}\nspec: {containers: []}\n`;
    expect(problems(bomb)).toContainEqual(expect.stringContaining('the document is too large or refers to itself'));
    const circle = `apiVersion: v1\nkind: Pod\nmetadata: {name: a, managedFields: [{fieldsV1: &c {again: *c}}]}\nspec: {containers: []}\n`;
    expect(problems(circle)).toContainEqual(expect.stringContaining('the document is too large or refers to itself'));
  });
});

describe('validation, in the words of the API', () => {
  test.each([
    [
      'imagePullPolicy: Sometimes',
      'spec.containers[0].imagePullPolicy: Unsupported value: "Sometimes": supported values: "Always", "IfNotPresent", "Never"',
    ],
    [
      'imagePullPolicy: always',
      'spec.containers[0].imagePullPolicy: Unsupported value: "always": supported values: "Always", "IfNotPresent", "Never"',
    ],
    [
      'restartPolicy: No',
      'spec.containers[0].restartPolicy: expected a string, found the boolean No; put it in quotes: "No"',
    ],
    [
      'restartPolicy: Sometimes',
      'spec.containers[0].restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
    ],
    ['env: [{name: ""}]', 'spec.containers[0].env[0].name: Required value'],
    [
      'env: [{name: a=b}]',
      `spec.containers[0].env[0].name: Invalid value: "a=b": a valid environment variable name must consist only of printable ASCII characters other than '='`,
    ],
    [
      'env: [{name: a, value: b, valueFrom: {fieldRef: {fieldPath: metadata.name}}}]',
      'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
    ],
    [
      'securityContext: {runAsUser: -1}',
      'spec.containers[0].securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive',
    ],
    [
      'securityContext: {seccompProfile: {type: Strict}}',
      'spec.containers[0].securityContext.seccompProfile.type: Unsupported value: "Strict": supported values: "Localhost", "RuntimeDefault", "Unconfined"',
    ],
    [
      'restartPolicyRules: [{action: Restart}]',
      'spec.containers[0].restartPolicy: Required value: must specify restartPolicy when restart rules are used',
    ],
  ])('%s', (line, expected) => {
    const lines = problems(podWith(`${container}    ${line}\n`));
    expect(lines.map((text) => text.replace(/^pod.yaml:\d+:\d+: /, ''))).toContain(expected);
  });

  test.each([
    [
      'restartPolicy: never',
      'spec.restartPolicy: Unsupported value: "never": supported values: "Always", "OnFailure", "Never"',
    ],
    [
      'terminationGracePeriodSeconds: -5',
      'spec.terminationGracePeriodSeconds: Invalid value: -5: must be greater than or equal to 0',
    ],
    ['hostname: a.b', /^spec.hostname: Invalid value: "a.b": a lowercase RFC 1123 label must consist/],
    ['initContainers: [{name: app, image: x}]', 'spec.containers[0].name: Duplicate value: "app"'],
  ])('%s', (line, expected) => {
    const lines = problems(podWith(`  ${line}\n${container}`)).map((text) => text.replace(/^pod.yaml:\d+:\d+: /, ''));
    expect(lines).toContainEqual(typeof expected === 'string' ? expected : expect.stringMatching(expected));
  });

  test('blanks around an image are refused', () => {
    expect(problems(podWith(container.replace('app:1', '" app:1"')))).toEqual([
      'pod.yaml:8:12: spec.containers[0].image: Invalid value: " app:1": must not have leading or trailing whitespace',
    ]);
  });

  test('the syntax of an image is for the kubelet to judge', () => {
    expect(parse(podWith(container.replace('app:1', 'app/UPPER')))[0]!.spec.containers[0]!.imagePullPolicy).toBe(
      'IfNotPresent',
    );
  });
});

describe('what Lading does not do', () => {
  test.each([
    ['hostUsers: false', 'spec.hostUsers: Lading does not give pods a user namespace yet'],
    ['runtimeClassName: gvisor', 'spec.runtimeClassName: Lading does not choose a runtime per pod yet'],
    ['os: {name: windows}', 'spec.os.name: Lading does not run containers of other systems than Linux yet'],
    [
      'securityContext: {sysctls: [{name: a, value: b}]}',
      'spec.securityContext.sysctls: Lading does not set kernel parameters yet',
    ],
    ['hostAliases: [{ip: 1.2.3.4}]', 'spec.hostAliases: Lading does not write /etc/hosts yet'],
  ])('refuses the pod with %s', (line, expected) => {
    expect(problems(podWith(`  ${line}\n${container}`)).map((text) => text.replace(/^pod.yaml:\d+:\d+: /, ''))).toEqual(
      [expected],
    );
  });

  test.each([
    [
      'volumeMounts: [{name: v, mountPath: /data}]',
      'spec.containers[0].volumeMounts[0].mountPath: Lading does not mount volumes yet, except images',
    ],
    [
      'envFrom: [{configMapRef: {name: a}}]',
      'spec.containers[0].envFrom: Lading does not read ConfigMaps and Secrets yet',
    ],
    [
      'env: [{name: A, valueFrom: {secretKeyRef: {name: s, key: k}}}]',
      'spec.containers[0].env[0].valueFrom.secretKeyRef: Lading does not read Secrets yet',
    ],
    [
      'securityContext: {privileged: true}',
      'spec.containers[0].securityContext.privileged: Lading does not run privileged containers yet',
    ],
    [
      'lifecycle: {preStop: {exec: {command: [x]}}}',
      'spec.containers[0].lifecycle: Lading does not run lifecycle hooks yet',
    ],
    ['tty: true', 'spec.containers[0].tty: Lading does not give containers a terminal yet'],
    [
      'env: [{name: A, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]',
      expect.stringContaining('Unsupported value: "status.podIP": Lading knows metadata.name'),
    ],
  ])('refuses the container with %s', (line, expected) => {
    expect(
      problems(podWith(`${container}    ${line}\n`)).map((text) => text.replace(/^pod.yaml:\d+:\d+: /, '')),
    ).toEqual([expected]);
  });

  test('the empty values of refused fields are harmless', () => {
    const text = podWith(`  initContainers: []
  hostUsers: true
  os: {name: linux}
  securityContext: {sysctls: [], supplementalGroupsPolicy: Merge}
${container}    tty: false
    stdin: false
    envFrom: []
    lifecycle: {}
    securityContext: {privileged: false, procMount: Default, seccompProfile: {type: RuntimeDefault}}
`);
    expect(parse(text)[0]!.warnings).toEqual([]);
  });

  test('harmless fields are listed in one warning', () => {
    const text = podWith(`  nodeSelector: {disk: ssd}
  serviceAccountName: robot
  imagePullSecrets: [{name: s}]
  tolerations: []
  volumes: [{name: kube-api-access, projected: {}}]
${container}    resources: {limits: {cpu: 2}}
    readinessProbe: {tcpSocket: {port: 80}}
    volumeMounts: [{name: kube-api-access, mountPath: /var/run/secrets/kubernetes.io/serviceaccount, readOnly: true}]
`);
    expect(parse(text)[0]!.warnings).toEqual([
      'fields that Lading does not act on: spec.nodeSelector, spec.volumes, spec.containers[0].resources, spec.containers[0].readinessProbe',
      "pull secrets that are not in the file: s; without them credentials come from the node's docker configuration",
    ]);
  });

  test('callers that do not run pods get warnings instead', () => {
    const text = podWith(`  initContainers: [{name: first, image: setup}]\n${container}    tty: true\n`);
    const [pod] = parse(text, { unsupported: 'warn' });
    expect(pod!.warnings).toEqual(['spec.containers[0].tty: Lading does not give containers a terminal yet']);
    expect(pod!.spec.initContainers).toMatchObject([{ name: 'first', image: 'setup', imagePullPolicy: 'Always' }]);
    expect(() => parse(`${text}---\nkind: Poodle`, { unsupported: 'warn' })).toThrow(PodManifestError);
  });
});
