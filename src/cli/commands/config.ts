import type { Command } from 'commander';
import type { PlannedEndpoint, RequestPlan } from '../../registry/index.ts';
import { addExamples, type Cli } from '../cli.ts';
import { parseArgument } from '../error-report.ts';
import { type DocumentFormat, documentFormatOption, formatTable, oneLine, printDocument } from '../output.ts';

export function define(command: Command, cli: Cli): void {
  const hosts = command
    .helpCommand(false)
    .command('hosts')
    .description('Show where an image is asked for, in which order')
    .argument('<image>', 'name; without a tag it means :latest')
    .addOption(documentFormatOption())
    .addHelpText(
      'after',
      '\nNothing is asked. Mirrors are configured as for containerd, by HOST/hosts.toml in /etc/lading/certs.d and\n' +
        '/etc/containerd/certs.d; without root in ~/.config/lading/certs.d instead of the first one. LADING_CERTS_D names\n' +
        'other folders, separated by colons.',
    )
    .action((image: string, options: { output?: DocumentFormat }) => showHosts(cli, image, options.output));
  const examples = [
    ['lading config hosts nginx:1.27', 'Which mirrors would be asked for nginx?'],
    ['lading config hosts -o json ghcr.io/org/app | jq .manifest', 'As URLs, for scripts'],
  ] as const;
  addExamples(hosts, examples);
  addExamples(command, examples);
}

async function showHosts(cli: Cli, image: string, format: DocumentFormat | undefined): Promise<void> {
  const [{ formatReference, parseReference, pullReference }, { planRequests }] = await Promise.all([
    import('../../oci/index.ts'),
    import('../../registry/index.ts'),
  ]);
  const reference = pullReference(parseArgument(parseReference, image));
  const plan = await planRequests(reference);
  if (plan.warning !== undefined) cli.stderr.write(`warning: ${oneLine(plan.warning)}\n`);
  if (format) return printDocument(cli, { image: formatReference(reference), ...plan }, format);
  cli.stdout.write(await describe(reference.registry, plan));
}

async function describe(registry: string, plan: RequestPlan): Promise<string> {
  const { endpoints, manifest, blobs, referrers, push } = plan;
  const rows = endpoints.map((endpoint, index) => [
    String(index + 1),
    endpoint.url,
    endpoint.capabilities.join(', '),
    remarksOn(endpoint),
  ]);
  return [
    `${registry} is configured by ${sourceOf(plan)}\n\n`,
    await formatTable([['#', 'ENDPOINT', 'CAPABILITIES', 'CONNECTION'], ...rows]),
    section('The manifest is asked for at', manifest),
    section('Layers are fetched from', blobs),
    section('Referrers are listed by', referrers),
    section('Uploads begin at', push === undefined ? [] : [push]),
  ].join('');
}

function sourceOf({ directory, file, mirrorsOf }: RequestPlan): string {
  if (mirrorsOf !== undefined) return `the mirrors of ${mirrorsOf} in the configuration file`;
  return file ?? (directory === undefined ? 'nothing: no certs.d folder knows it' : `the files in ${directory}`);
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
