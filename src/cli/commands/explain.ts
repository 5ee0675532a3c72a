import { type Command, Option } from 'commander';
import type { Reference } from '../../oci/index.ts';
import type { Explanation, PullPolicy } from '../../policy/index.ts';
import type { RegistryClient } from '../../registry/index.ts';
import type { Store } from '../../store/index.ts';
import { addExamples, type Cli, Exit, storeOptions } from '../cli.ts';
import { type DocumentFormat, printDocument } from '../output.ts';

interface ExplainOptions {
  readonly output: 'text' | DocumentFormat;
}

/** Someone waits for the answer, and "it did not answer" is one. */
const attempts = 2;

/** An image to explain, and the container that wants it when it comes from a file. */
interface Subject {
  readonly image: string;
  readonly policy?: PullPolicy;
  readonly file?: string;
  readonly pod?: string;
  readonly container?: string;
}

/** One item of `-o json`. @see docs/explain.md */
export type ExplainedContainer = Omit<Subject, 'policy'> & Explanation;

interface Context {
  readonly store: Store;
  readonly registry: RegistryClient;
  readonly signal: AbortSignal;
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('<file|image...>', 'manifests (a path, or - for standard input) and images')
    .addOption(new Option('-o, --output <format>', 'output format').choices(['text', 'json', 'yaml']).default('text'))
    .addHelpText(
      'after',
      '\nNothing is changed: the registry is asked, the node is looked at. The exit code is 0 when every container could\n' +
        'start under the pull policy that it has, 1 when one could not.',
    )
    .action((subjects: string[], options: ExplainOptions) => explainAll(cli, subjects, options));
  addExamples(command, [
    ['lading explain pod.yaml', 'What would the containers of this pod run on this node, and why?'],
    ['lading explain nginx ghcr.io/org/app:1.2', 'The same for images, under the policy that Kubernetes gives them'],
    ['lading explain pod.yaml -o json', 'The same facts for programs'],
  ]);
}

async function explainAll(cli: Cli, args: readonly string[], { output }: ExplainOptions): Promise<void> {
  const subjects: Subject[] = [];
  for (const argument of args) subjects.push(...(await subjectsOf(argument)));
  const [{ openStore }, { RegistryClient }, { registryOptions }] = await Promise.all([
    import('../../store/index.ts'),
    import('../../registry/index.ts'),
    import('../registry-options.ts'),
  ]);
  const store = await openStore(cli.settings.root, storeOptions(cli, { readOnly: true }));
  const registry = new RegistryClient({ ...registryOptions(cli), retry: { attempts } });
  try {
    const items: ExplainedContainer[] = [];
    for (const subject of subjects) items.push(await explainOne({ store, registry, signal: cli.signal }, subject));
    await print(cli, items, output, store.root);
    if (items.some(({ outcome }) => outcome.starts !== true)) throw new Exit(1);
  } finally {
    await registry.close();
    store.close();
  }
}

async function subjectsOf(argument: string): Promise<Subject[]> {
  const { meansFile, readManifest } = await import('../manifest-files.ts');
  if (!(await meansFile(argument))) return [{ image: argument }];
  const pods = await readManifest(argument, { unsupported: 'warn' });
  return pods.flatMap(({ metadata, spec, source }) =>
    [...spec.initContainers, ...spec.containers, ...spec.ephemeralContainers].map((container) => ({
      image: container.image,
      ...(container.pullPolicyOrigin === 'written' ? { policy: container.imagePullPolicy } : {}),
      file: source.file,
      pod: metadata.name,
      container: container.name,
    })),
  );
}

async function explainOne(context: Context, { policy, ...subject }: Subject): Promise<ExplainedContainer> {
  const [{ explain }, { gatherImageFacts }, { parseReference, pullReference }] = await Promise.all([
    import('../../policy/index.ts'),
    import('../image-facts.ts'),
    import('../../oci/index.ts'),
  ]);
  const { image } = subject;
  let reference: Reference;
  try {
    reference = pullReference(parseReference(image));
  } catch {
    return { ...subject, ...explain({ image, explicitPolicy: policy, registry: { asked: false } }) };
  }
  const facts = await gatherImageFacts(context, reference, { signal: context.signal });
  return { ...subject, ...explain({ image, explicitPolicy: policy, ...facts }) };
}

async function print(cli: Cli, items: readonly ExplainedContainer[], output: ExplainOptions['output'], node: string) {
  if (output !== 'text') {
    return printDocument(cli, { apiVersion: 'lading.dev/v1', kind: 'ExplanationList', node, items }, output);
  }
  const { explanationText } = await import('../explanation-view.ts');
  const texts: string[] = [];
  for (const item of items) texts.push(await explanationText(item, cli.stdout));
  cli.stdout.write(texts.join('\n'));
}
