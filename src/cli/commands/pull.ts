import type { Command } from 'commander';
import { errorMessage } from '../../lib/errors.ts';
import type { Platform, Reference } from '../../oci/index.ts';
import type { LayerPlan, PullDependencies, PullPlan, PullResult } from '../../pull/index.ts';
import type { NameRecord } from '../../store/index.ts';
import { type Cli, forEachArgument, storeOptions } from '../cli.ts';
import { parseArgument } from '../error-report.ts';
import { addExamples, addNotes } from '../help.ts';
import { humanAgo, humanSize, plural, shortDigest } from '../human.ts';
import { type DocumentFormat, documentFormatOption, formatTable } from '../output.ts';

interface PullCommandOptions {
  readonly platform?: string;
  readonly dryRun?: true;
  readonly quiet?: true;
  readonly output?: DocumentFormat;
}

/** What is asked of one pull. */
interface Request {
  readonly reference: Reference;
  readonly platform: Platform | undefined;
  readonly options: PullCommandOptions;
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('<image...>', 'names; without a tag a name means :latest')
    .option('--platform <os/architecture>', 'what the image has to run on (default: this machine)')
    .option('--dry-run', 'say what would be fetched, and fetch nothing')
    .option('-q, --quiet', 'no progress; print the digest only')
    .addOption(documentFormatOption())
    .action((images: string[], options: PullCommandOptions) => pull(cli, images, options));
  addNotes(
    command,
    'The registry is asked what the name means; layers that this node has are not fetched again, and what was ' +
      'interrupted goes on where it was. Credentials are those of `docker login` (~/.docker/config.json).',
    'With -o, one image gives a document, several give an array of documents.',
  );
  addExamples(command, [
    ['lading pull nginx:1.27', 'Fetch what is missing of an image'],
    ['lading pull --dry-run nginx:1.27', 'What would be fetched, in bytes?'],
    ['lading pull --platform linux/arm64 alpine', 'For another machine'],
  ]);
}

async function pull(cli: Cli, images: readonly string[], options: PullCommandOptions): Promise<void> {
  const [oci, { openStore }, { RegistryClient }, { UnpackPool }, { registryOptions }] = await Promise.all([
    import('../../oci/index.ts'),
    import('../../store/index.ts'),
    import('../../registry/index.ts'),
    import('../../unpack/index.ts'),
    import('../registry-options.ts'),
  ]);
  const platform = options.platform === undefined ? undefined : parseArgument(oci.parsePlatform, options.platform);
  const references = images.map((image) => oci.pullReference(parseArgument(oci.parseReference, image)));
  const store = await openStore(cli.settings.root, storeOptions(cli, { readOnly: options.dryRun === true }));
  const registry = new RegistryClient(registryOptions(cli));
  const unpack = new UnpackPool({ limits: cli.settings['unpack.limits'] });
  try {
    const deps = { store, registry, unpack };
    const pullEach = (reference: Reference) => pullOne(cli, deps, { reference, platform, options });
    await forEachArgument(cli, references, pullEach, options.output);
  } finally {
    await unpack.close();
    await registry.close();
    store.close();
  }
}

/** @returns the document for `-o` */
async function pullOne(cli: Cli, deps: PullDependencies, { reference, platform, options }: Request): Promise<unknown> {
  const { planPull } = await import('../../pull/index.ts');
  const plan = await planPull(deps, reference, { platform, signal: cli.signal });
  for (const warning of plan.warnings) cli.stderr.write(`warning: ${plan.name}: ${warning}\n`);
  if (options.dryRun) await warnOfRoom(cli, deps, plan);
  if (options.dryRun) return options.output ? planDocument(plan) : printPlan(cli, plan, options);
  const before = deps.store.names.get(plan.name);
  const result = await execute(cli, deps, plan, options);
  const pulled = { plan, result, before };
  return options.output ? resultDocument(pulled) : printResult(cli, pulled, options);
}

/** Of what the pull itself would end with. */
async function warnOfRoom(cli: Cli, { store }: PullDependencies, { name, bytesToFetch }: PullPlan): Promise<void> {
  const { requireSpace } = await import('../../store/index.ts');
  try {
    requireSpace(store.root, bytesToFetch, `pull ${name}`);
  } catch (error) {
    cli.stderr.write(`warning: ${errorMessage(error)}\n`);
  }
}

/** Nothing is drawn for an image that is here, nor between the lines of a request log. */
async function execute(
  cli: Cli,
  deps: PullDependencies,
  plan: PullPlan,
  { quiet }: PullCommandOptions,
): Promise<PullResult> {
  const [{ executePull }, { openProgressView }] = await Promise.all([
    import('../../pull/index.ts'),
    import('../progress-view.ts'),
  ]);
  const options = { signal: cli.signal, by: 'lading pull' };
  if (quiet || plan.alreadyPresent) return executePull(deps, plan, options);
  const view = await openProgressView(cli.stderr, { plain: cli.verbose });
  try {
    return await executePull(deps, plan, { ...options, onProgress: (progress) => view.update(plan.name, progress) });
  } finally {
    view.close();
  }
}

interface Pulled {
  readonly plan: PullPlan;
  readonly result: PullResult;
  /** What the name meant before. */
  readonly before: NameRecord | undefined;
}

async function resultDocument({ plan, result, before }: Pulled): Promise<object> {
  const { name, target, imageId, layers } = plan;
  const { layersFetched, bytesFetched } = result;
  return {
    name,
    digest: target.digest,
    imageId,
    platform: await platformOf(plan),
    layers: layers.length,
    layersFetched,
    bytesFetched,
    previousDigest: otherBefore(plan, before)?.target.digest,
  };
}

async function printResult(cli: Cli, pulled: Pulled, { quiet }: PullCommandOptions): Promise<void> {
  const { plan, result, before } = pulled;
  if (quiet) {
    cli.stdout.write(`${plan.target.digest}\n`);
    return;
  }
  const platform = await platformOf(plan);
  const previous = otherBefore(plan, before);
  const lines = [
    ['  digest', plan.target.digest],
    ...(previous
      ? [['  before', `${previous.target.digest}, since ${humanAgo(Date.parse(previous.firstSeen), Date.now())}`]]
      : []),
    ['  image id', plan.imageId],
    ...(platform ? [['  platform', platform]] : []),
    ['  layers', layersSentence(plan, result)],
  ];
  cli.stdout.write(`${plan.name}\n${await formatTable(lines)}`);
}

async function platformOf({ platform }: PullPlan): Promise<string | undefined> {
  const { formatPlatform } = await import('../../oci/index.ts');
  return platform && formatPlatform(platform);
}

/** What the name meant before, if that was something else. */
function otherBefore({ target }: PullPlan, before: NameRecord | undefined): NameRecord | undefined {
  return before?.target.digest === target.digest ? undefined : before;
}

/** What came over the network, and what did not have to. */
function layersSentence({ layers }: PullPlan, { layersFetched, bytesFetched }: PullResult): string {
  const there = new Set(layers.map(({ descriptor }) => descriptor.digest)).size - layersFetched;
  if (layersFetched === 0) return `${there} already there, nothing downloaded`;
  return `${layersFetched} downloaded (${humanSize(bytesFetched)})${there === 0 ? '' : `, ${there} already there`}`;
}

const planStates: Readonly<Record<LayerPlan['state'], string>> = {
  unpacked: 'already there',
  stored: 'to unpack',
  partial: 'to go on with',
  missing: 'to fetch',
};

function planDocument(plan: PullPlan): object {
  const { name, target, imageId, layers, layersToFetch, bytesToFetch, alreadyPresent } = plan;
  return { name, digest: target.digest, imageId, alreadyPresent, layersToFetch, bytesToFetch, layers };
}

async function printPlan(cli: Cli, plan: PullPlan, { quiet }: PullCommandOptions): Promise<void> {
  const { name, target, layers, layersToFetch, bytesToFetch } = plan;
  if (quiet) {
    cli.stdout.write(`${target.digest}\n`);
    return;
  }
  const rows = layers.map(({ descriptor, state, bytesToFetch: rest }) => [
    shortDigest(descriptor.digest),
    humanSize(descriptor.size),
    planStates[state],
    humanSize(rest),
  ]);
  cli.stdout.write(`${name} is ${target.digest}\n`);
  cli.stdout.write(await formatTable([['LAYER', 'SIZE', 'STATE', 'TO FETCH'], ...rows]));
  cli.stdout.write(`Would fetch ${plural(layersToFetch, 'layer')}, ${humanSize(bytesToFetch)}.\n`);
}
