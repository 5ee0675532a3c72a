import { type Command, Option } from 'commander';
import type { PullPolicy } from '../../policy/index.ts';
import { type Cli, Exit, storeOptions } from '../cli.ts';
import type { CredentialPluginOptions } from '../credential-plugin-options.ts';
import type { Diff } from '../explain/diff.ts';
import type { ExplainContext, ExplainedContainer } from '../explain/explain-subject.ts';
import type { Subject } from '../explain/subjects.ts';
import { addExamples, addNotes } from '../help.ts';
import { type DocumentFormat, printDocument } from '../output.ts';

interface ExplainOptions extends CredentialPluginOptions {
  readonly output: 'text' | DocumentFormat;
  readonly policy?: PullPolicy;
  readonly atRegistry?: string;
  readonly diff?: true;
  readonly node?: string;
}

/** Someone waits for the answer, and "it did not answer" is one. */
const attempts = 2;

export function define(command: Command, cli: Cli): void {
  command
    .argument('<file|image...>', 'manifests (a path, or - for standard input) and images')
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json', 'yaml']).default('text'))
    .addOption(
      new Option('--policy <policy>', 'what if every container had this pull policy?').choices([
        'Always',
        'IfNotPresent',
        'Never',
      ]),
    )
    .option('--at-registry <host>', 'what if the images came from this registry, under the same repository and tag?')
    .option('--diff', 'compare what runs now with what would run after a restart')
    .option(
      '--node <dir|file>',
      'with --diff: compare with another node instead: its folder, or what `explain -o json` said there',
    )
    .option('--image-credential-provider-config <file>', "credential plugins: the kubelet's file, or a folder of such")
    .option('--image-credential-provider-bin-dir <dir>', 'where the programs of credential plugins are')
    .action((subjects: string[], options: ExplainOptions) => explainAll(cli, subjects, options));
  addNotes(
    command,
    'Nothing is changed: the registry is asked, the node is looked at. The exit code is 0 when every container ' +
      'could start under the pull policy that it has, 1 when one could not.',
  );
  addExamples(command, [
    ['lading explain pod.yaml', 'What would the containers of this pod run on this node, and why?'],
    ['lading explain nginx ghcr.io/org/app:1.2', 'The same for images, under the policy that Kubernetes gives them'],
    ['lading explain --diff pod.yaml', 'Would a restart change what runs?'],
    ['lading explain --diff --node worker-2.json pod.yaml', 'Would the pod run something else on another node?'],
    ['lading explain --policy Always --at-registry mirror.local:5000 pod.yaml', 'What if?'],
    ['lading explain pod.yaml -o json', 'The same facts for programs'],
  ]);
}

async function explainAll(cli: Cli, args: readonly string[], options: ExplainOptions): Promise<void> {
  const { output, node: otherNode } = options;
  if (otherNode !== undefined && !options.diff) {
    const { UsageError } = await import('../error-report.ts');
    throw new UsageError('--node needs --diff', { hint: '--root selects the node that is explained.' });
  }
  const { subjectsOf } = await import('../explain/subjects.ts');
  const subjects = await subjectsOf(args, { ...options, signal: cli.signal });
  const items = await explainOn(cli, cli.settings.root, subjects, options);
  if (!options.diff) {
    await print(cli, items, options);
    if (items.some(({ outcome }) => outcome.starts !== true)) throw new Exit(1);
    return;
  }
  const { diffOf, sameSubject } = await import('../explain/diff.ts');
  const other = otherNode === undefined ? undefined : await explanationsOf(cli, otherNode, subjects, options);
  const compared = items.map((item) => {
    const there = other && { node: other.node, item: sameSubject(other.items, item) };
    return { item, there: there?.item, diff: diffOf(item, there) };
  });
  await printDiffs(cli, compared, output);
  if (compared.some(({ item, there }) => (other ? there : item)?.outcome.starts !== true)) throw new Exit(1);
}

/** Of another node: what it said itself, or what is found out about its folder. */
async function explanationsOf(cli: Cli, node: string, subjects: readonly Subject[], options: ExplainOptions) {
  const [{ statSync }, { resolve }] = await Promise.all([import('node:fs'), import('node:path')]);
  const isFile = /\.json$/.test(node) || statSync(node, { throwIfNoEntry: false })?.isDirectory() === false;
  if (isFile) return (await import('../explain/diff.ts')).readExplanations(node);
  return { node, items: await explainOn(cli, resolve(node), subjects, options) };
}

async function explainOn(
  cli: Cli,
  root: string,
  subjects: readonly Subject[],
  options: ExplainOptions,
): Promise<ExplainedContainer[]> {
  const { context, close } = await openContext(cli, root, options);
  const { explainSubject } = await import('../explain/explain-subject.ts');
  try {
    const items: ExplainedContainer[] = [];
    for (const subject of subjects) items.push(await explainSubject(context, subject));
    return items;
  } finally {
    await close();
  }
}

async function openContext(
  cli: Cli,
  root: string,
  options: ExplainOptions,
): Promise<{ context: ExplainContext; close: () => Promise<void> }> {
  const [{ openNode, whenUnreachableSetting }, { registryOptions }, { kubeletSettings }, { imageGcPolicyOf }] =
    await Promise.all([
      import('../node.ts'),
      import('../registry-options.ts'),
      import('../configuration/kubelet.ts'),
      import('../../policy/index.ts'),
    ]);
  const [{ GcRisks }, { credentialPlugins }, { runningPods }] = await Promise.all([
    import('../explain/gc-risk.ts'),
    import('../credential-plugin-options.ts'),
    import('../running-pods.ts'),
  ]);
  const { config } = await kubeletSettings(cli.configuration);
  const plugins = credentialPlugins(options, cli.signal);
  const requests: ExplainContext['requests'] = [];
  const { onRequest, ...registry } = registryOptions(cli);
  const node = await openNode({
    root,
    store: storeOptions(cli, { readOnly: true }),
    registry: {
      ...registry,
      retry: { attempts },
      onRequest(record) {
        requests.push(record);
        onRequest?.(record);
      },
    },
  });
  const context: ExplainContext = {
    node,
    requests,
    mirrors: registry.mirrors,
    config,
    gcRisks: new GcRisks(node, imageGcPolicyOf(config)),
    whenUnreachable: whenUnreachableSetting(cli.settings),
    plugins,
    // What runs is told where it can be found out.
    running: await runningPods(cli, root)
      .list()
      .catch(() => []),
    assumedPolicy: options.policy,
    signal: cli.signal,
    stderr: cli.stderr,
  };
  return { context, close: () => node.close() };
}

async function print(cli: Cli, items: readonly ExplainedContainer[], { output }: ExplainOptions) {
  const { root: node } = cli.settings;
  if (output !== 'text') {
    return printDocument(cli, { apiVersion: 'lading.dev/v1', kind: 'ExplanationList', node, items }, output);
  }
  const { explanationText } = await import('../explanation-view.ts');
  const texts: string[] = [];
  for (const item of items) texts.push(await explanationText(item, cli.stdout));
  cli.stdout.write(texts.join('\n'));
}

async function printDiffs(
  cli: Cli,
  compared: readonly { item: ExplainedContainer; diff: Diff }[],
  output: ExplainOptions['output'],
): Promise<void> {
  if (output !== 'text') {
    const items = compared.map(({ item, diff }) => ({ ...item, diff }));
    const { root: node } = cli.settings;
    return printDocument(cli, { apiVersion: 'lading.dev/v1', kind: 'ExplanationList', node, items }, output);
  }
  const { diffText } = await import('../explanation-view.ts');
  cli.stdout.write(await diffText(compared, cli.stdout));
}
