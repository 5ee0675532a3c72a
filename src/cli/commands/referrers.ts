import type { Command } from 'commander';
import type { Descriptor } from '../../oci/index.ts';
import type { Cli } from '../cli.ts';
import { parseArgument } from '../error-report.ts';
import { addExamples, addNotes } from '../help.ts';
import { humanSize } from '../human.ts';
import { type Column, type ListFormat, listFormatOption, noHeadersOption, printList } from '../output.ts';

interface ReferrersCommandOptions {
  readonly artifactType?: string;
  readonly output: ListFormat;
  readonly headers: boolean;
}

const columns: readonly Column<Descriptor>[] = [
  { header: 'DIGEST', value: ({ digest }) => digest },
  { header: 'TYPE', value: ({ artifactType, mediaType }) => artifactType ?? mediaType },
  { header: 'SIZE', value: ({ size }) => humanSize(size) },
  {
    header: 'CREATED',
    value: ({ annotations }) => annotations?.['org.opencontainers.image.created'] ?? '',
    wide: true,
  },
];

export function define(command: Command, cli: Cli): void {
  command
    .argument('<image>', 'an image on its registry; without a tag a name means :latest')
    .option('--artifact-type <type>', 'only those of this type')
    .addOption(listFormatOption())
    .addOption(noHeadersOption())
    .action((image: string, options: ReferrersCommandOptions) => referrers(cli, image, options));
  addNotes(command, 'Also from registries that have no list of referrers: their tag for it is read.');
  addExamples(command, [
    ['lading referrers ghcr.io/me/app:1.2', 'Is there a signature, or an SBOM?'],
    ['lading referrers -o json 127.0.0.1:5000/app:1', 'With all annotations'],
  ]);
}

async function referrers(cli: Cli, text: string, options: ReferrersCommandOptions): Promise<void> {
  const [{ parseReference, pullReference }, { RegistryClient }, { registryOptions }] = await Promise.all([
    import('../../oci/index.ts'),
    import('../../registry/index.ts'),
    import('../registry-options.ts'),
  ]);
  const reference = pullReference(parseArgument(parseReference, text));
  const { artifactType, output: format, headers } = options;
  const { signal } = cli;
  const registry = new RegistryClient(registryOptions(cli));
  try {
    const digest = reference.digest ?? (await registry.resolve(reference, { signal })).descriptor.digest;
    const type = artifactType === undefined ? {} : { artifactType };
    const found = await registry.listReferrers(reference, digest, { signal, ...type });
    await printList(cli, found, { format, headers, columns, empty: `Nothing refers to ${text} (${digest}).` });
  } finally {
    await registry.close();
  }
}
