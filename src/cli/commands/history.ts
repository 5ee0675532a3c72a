import type { Command } from 'commander';
import type { NameMeaning, Store } from '../../store/index.ts';
import { addExamples, type Cli } from '../cli.ts';
import { parseArgument } from '../error-report.ts';
import { humanAgo } from '../human.ts';
import { type Column, type ListFormat, listFormatOption, noHeadersOption, printList } from '../output.ts';

interface HistoryOptions {
  readonly output: ListFormat;
  readonly headers: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('<image>', 'a name; without a tag it means :latest')
    .addOption(listFormatOption())
    .addOption(noHeadersOption())
    .addHelpText(
      'after',
      '\nA tag is a name that its owner may move. The table has a line for each digest that the name has meant here,\n' +
        'newest first; * marks the one that a container started without a pull would run.',
    )
    .action((image: string, options: HistoryOptions) => history(cli, image, options));
  addExamples(command, [
    ['lading history nginx:1.27', 'Which digests has nginx:1.27 meant on this node?'],
    ['lading history nginx:1.27 -o wide', 'With image ids, and when each meaning ended'],
  ]);
}

async function history(cli: Cli, text: string, { output, headers }: HistoryOptions): Promise<void> {
  const [{ openStore }, { formatReference, parseReference, pullReference, repositoryName }, { LadingError }] =
    await Promise.all([import('../../store/index.ts'), import('../../oci/index.ts'), import('../../lib/errors.ts')]);
  const reference = parseArgument(parseReference, text);
  const name = formatReference(pullReference(reference));
  const store = await openStore(cli.settings.root, { readOnly: true });
  try {
    const meanings = store.names.history(name);
    if (meanings.length === 0) {
      throw new LadingError(
        'ERR_LADING_NAME_UNKNOWN',
        `${name} has never meant an image on this node (${store.root})`,
        {
          hint: hintFor(namesOfRepository(store, repositoryName(reference))),
        },
      );
    }
    await printList(cli, meanings, { format: output, headers, columns: columnsAt(Date.now()), empty: '' });
  } finally {
    store.close();
  }
}

function namesOfRepository(store: Store, repository: string): string[] {
  return store.names
    .list()
    .map(({ name }) => name)
    .filter((name) => name.startsWith(`${repository}:`) || name.startsWith(`${repository}@`));
}

function hintFor(names: readonly string[]): string {
  return names.length === 0
    ? '`lading images` lists the names on this node.'
    : `Names of this repository on this node: ${names.join(', ')}.`;
}

function columnsAt(nowMs: number): Column<NameMeaning>[] {
  const when = (time: string) => `${time.replace(/\.\d+Z$/, 'Z')} (${humanAgo(Date.parse(time), nowMs)})`;
  return [
    { header: 'CURRENT', value: ({ until }) => (until === undefined ? '*' : '') },
    { header: 'DIGEST', value: ({ digest }) => digest },
    { header: 'FIRST SEEN', value: ({ firstSeen }) => when(firstSeen) },
    { header: 'LAST SEEN', value: ({ lastSeen }) => when(lastSeen) },
    { header: 'UNTIL', value: ({ until }) => (until === undefined ? '' : when(until)), wide: true },
    { header: 'IMAGE ID', value: ({ imageId }) => imageId, wide: true },
  ];
}
