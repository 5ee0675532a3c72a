import type { Command } from 'commander';
import type { PlannedEndpoint, RequestPlan } from '../../registry/index.ts';
import type { Cli } from '../cli.ts';
import { configFileVariable } from '../configuration/configuration.ts';
import { flagOf, type KeyName, keyNames, keyOf, variableOf } from '../configuration/keys.ts';
import { parseArgument } from '../error-report.ts';
import { addExamples, addNotes } from '../help.ts';
import {
  type Column,
  type DocumentFormat,
  documentFormatOption,
  formatTable,
  type ListFormat,
  listFormatOption,
  noHeadersOption,
  oneLine,
  printDocument,
  printList,
} from '../output.ts';
import { unknownCommand } from '../unknown-command.ts';

export function define(command: Command, cli: Cli): void {
  const view = command
    .helpCommand(false)
    .command('view', { isDefault: true })
    .description('Show each key, its value, and where that comes from (the default)')
    .addOption(listFormatOption())
    .addOption(noHeadersOption())
    .allowExcessArguments()
    .action((options: ShowOptions) => {
      const [unknown] = view.args;
      if (unknown !== undefined) throw unknownCommand(unknown, ['view', 'hosts']);
      return showConfiguration(cli, options);
    });
  const hosts = command
    .command('hosts')
    .description('Show where an image is asked for, in which order')
    .argument('<image>', 'name; without a tag it means :latest')
    .addOption(documentFormatOption())
    .action((image: string, options: { output?: DocumentFormat }) => showHosts(cli, image, options.output));
  const viewExamples = [
    ['lading config', 'What holds, and where does it come from?'],
    ['lading --store-keep-compressed-layers never config -o wide', 'Try a flag; names of flags and variables'],
  ] as const;
  const hostsExamples = [
    ['lading config hosts nginx:1.27', 'Which mirrors would be asked for nginx?'],
    ['lading config hosts -o json ghcr.io/org/app | jq .manifest', 'As URLs, for scripts'],
  ] as const;
  addExamples(view, viewExamples);
  addNotes(
    hosts,
    'Nothing is asked. Mirrors are configured as for containerd, by HOST/hosts.toml in /etc/lading/certs.d and ' +
      '/etc/containerd/certs.d; without root in ~/.config/lading/certs.d instead of the first one. LADING_CERTS_D ' +
      'names other folders, separated by colons. For registries without such a folder registry.mirrors counts, see ' +
      'lading config.',
  );
  addExamples(hosts, hostsExamples);
  addNotes(command, explanation, keyList());
  addExamples(command, [...viewExamples, ...hostsExamples]);
}

interface ShowOptions {
  readonly output: ListFormat;
  readonly headers: boolean;
}

const explanation =
  'Each key can be given by a flag, an environment variable or the configuration file, in this order. The file is ' +
  `/etc/lading/config.yaml; without root ~/.config/lading/config.yaml; or what --config or ${configFileVariable} ` +
  'names. A dot in the name of a key is a level of the file: `store: {keepCompressedLayers: never}`.';

function keyList(): string {
  const lines = keyNames.map((name) => {
    const { summary, placeholder } = keyOf(name);
    return `  ${name}\n      ${summary}\n      ${flagOf(name)} ${placeholder}\n      ${variableOf(name)}`;
  });
  return `Keys:\n${lines.join('\n')}`;
}

interface ConfigurationRow {
  readonly key: KeyName;
  readonly value?: unknown;
  readonly origin: string;
  readonly flag: string;
  readonly variable: string;
}

const columns: readonly Column<ConfigurationRow>[] = [
  { header: 'KEY', value: ({ key }) => key },
  { header: 'VALUE', value: ({ value }) => textOf(value) },
  { header: 'FROM', value: ({ origin }) => origin },
  { header: 'FLAG', value: ({ flag }) => flag, wide: true },
  { header: 'VARIABLE', value: ({ variable }) => variable, wide: true },
];

async function showConfiguration(cli: Cli, { output, headers }: ShowOptions): Promise<void> {
  const { kubeletSettings, kubeletValue } = await import('../configuration/kubelet.ts');
  const { settings, origins } = cli.configuration;
  const kubelet = await kubeletSettings(cli.configuration);
  const rows = keyNames.map((key): ConfigurationRow => {
    const names = { key, flag: flagOf(key), variable: variableOf(key) };
    if (!key.startsWith('kubelet.')) return { ...names, value: withoutSecrets(settings[key]), origin: origins[key] };
    return { ...names, ...kubeletValue(kubelet, key) };
  });
  await printList(cli, rows, { format: output, headers, columns, empty: '' });
}

/** Headers of mirrors may be secret, and what stands before the host in a URL. */
function withoutSecrets(value: unknown): unknown {
  if (typeof value !== 'object') return value;
  return JSON.parse(
    JSON.stringify(value, (name, member: unknown) => {
      if (name === 'header') return Object.fromEntries(Object.keys(member as object).map((key) => [key, 'REDACTED']));
      return typeof member === 'string' ? member.replace(/:\/\/[^/?#]*@/, '://REDACTED@') : member;
    }),
  );
}

function textOf(value: unknown): string {
  if (value === undefined) return '-';
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

async function showHosts(cli: Cli, image: string, format: DocumentFormat | undefined): Promise<void> {
  const [{ formatReference, parseReference, pullReference }, { planRequests }] = await Promise.all([
    import('../../oci/index.ts'),
    import('../../registry/index.ts'),
  ]);
  const reference = pullReference(parseArgument(parseReference, image));
  const { 'registry.mirrors': mirrors } = cli.settings;
  const plan = await planRequests(reference, mirrors ? { mirrors } : {});
  if (plan.warning !== undefined) cli.stderr.write(`warning: ${oneLine(plan.warning)}\n`);
  if (format) return printDocument(cli, { image: formatReference(reference), ...plan }, format);
  cli.stdout.write(await describe(cli, reference.registry, plan));
}

async function describe(cli: Cli, registry: string, plan: RequestPlan): Promise<string> {
  const { endpoints, manifest, blobs, referrers, push } = plan;
  const rows = endpoints.map((endpoint, index) => [
    String(index + 1),
    endpoint.url,
    endpoint.capabilities.join(', '),
    remarksOn(endpoint),
  ]);
  return [
    `${sourceOf(cli, registry, plan)}\n\n`,
    await formatTable([['#', 'ENDPOINT', 'CAPABILITIES', 'CONNECTION'], ...rows]),
    section('The manifest is asked for at', manifest),
    section('Layers are fetched from', blobs),
    section('Referrers are listed by', referrers),
    section('Uploads begin at', push === undefined ? [] : [push]),
  ].join('');
}

function sourceOf({ configuration }: Cli, registry: string, { directory, file, mirrorsOf }: RequestPlan): string {
  const by = `${registry} is configured by`;
  if (mirrorsOf !== undefined)
    return `${by} registry.mirrors (${mirrorsOf}), ${configuration.origins['registry.mirrors']}`;
  if (file !== undefined) return `${by} ${file}`;
  if (directory !== undefined) return `${by} the files in ${directory}`;
  return `Nothing is configured for ${registry}: neither a certs.d folder nor registry.mirrors knows it`;
}

function section(title: string, urls: readonly string[]): string {
  const lines = urls.length > 0 ? urls.map((url) => `  ${oneLine(url)}\n`) : ['  nothing: no endpoint may do that\n'];
  return `\n${title}\n${lines.join('')}`;
}

function remarksOn(endpoint: PlannedEndpoint): string {
  const { url, certificates, httpFallback, authorities, clientCertificates, headers, dialTimeoutMs } = endpoint;
  const isPlain = url.startsWith('http:');
  return [
    isPlain ? 'plain http' : certificates === 'verified' ? 'verified' : 'any certificate',
    httpFallback ? 'else http' : '',
    !isPlain && authorities > 0 ? `${authorities} more CA` : '',
    !isPlain && clientCertificates > 0 ? 'client certificate' : '',
    headers.length > 0 ? `headers ${headers.join(', ')}` : '',
    dialTimeoutMs === undefined ? '' : `dial timeout ${dialTimeoutMs / 1000}s`,
  ]
    .filter((remark) => remark !== '')
    .join('; ');
}
