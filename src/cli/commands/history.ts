import type { Command } from 'commander';
import type { ContainerStarts, NameMeaning, Store } from '../../store/index.ts';
import type { Cli } from '../cli.ts';
import { parseArgument } from '../error-report.ts';
import { addExamples, addNotes } from '../help.ts';
import { humanAgo, shortDigest } from '../human.ts';
import { type Column, type ListFormat, listFormatOption, noHeadersOption, printList } from '../output.ts';

interface HistoryOptions {
  readonly output: ListFormat;
  readonly headers: boolean;
}

/** One item of `-o json`. */
interface Meaning extends NameMeaning {
  /** The containers that ran it, the latest start first. */
  readonly ranBy: readonly Omit<ContainerStarts, 'digest'>[];
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('<image>', 'a name; without a tag it means :latest')
    .addOption(listFormatOption())
    .addOption(noHeadersOption())
    .action((image: string, options: HistoryOptions) => history(cli, image, options));
  addNotes(
    command,
    'A tag is a name that its owner may move. The table has a line for each digest that the name has meant ' +
      'here, newest first; * marks the one that a container started without a pull would run. LAST SEEN is when ' +
      'the registry last said so, PULLED BY who gave the name this meaning, RAN BY the containers that ran it, ' +
      'also by digest.',
    'To run an earlier one: lading run --image-override NAME=DIGEST FILE. How an image was built: lading inspect NAME',
  );
  addExamples(command, [
    ['lading history nginx:1.27', 'Which digests has nginx:1.27 meant on this node?'],
    ['lading history nginx:1.27 -o wide', 'With digests in full, image ids, all containers that ran it'],
  ]);
}

async function history(cli: Cli, text: string, { output, headers }: HistoryOptions): Promise<void> {
  const [{ openStore }, { formatReference, parseReference, pullReference, repositoryName }, { LadingError }] =
    await Promise.all([import('../../store/index.ts'), import('../../oci/index.ts'), import('../../lib/errors.ts')]);
  const reference = parseArgument(parseReference, text);
  const name = formatReference(pullReference(reference));
  const store = await openStore(cli.settings.root, { readOnly: true });
  try {
    const meanings = meaningsOf(store, { name, repository: repositoryName(reference) });
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

function meaningsOf(store: Store, { name, repository }: { name: string; repository: string }): Meaning[] {
  const starts = store.starts.list(name);
  return store.names.history(name).map((meaning) => {
    const byDigest = `${repository}@${meaning.digest}`;
    const ranBy = [
      ...starts.filter(({ digest }) => digest === meaning.digest),
      ...(byDigest === name ? [] : store.starts.list(byDigest)),
    ];
    return {
      ...meaning,
      ranBy: ranBy.map(({ digest: _, ...rest }) => rest).toSorted((a, b) => b.lastAt.localeCompare(a.lastAt)),
    };
  });
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

/** A name that everybody runs has a line of a readable length all the same. */
const shownContainers = 2;

function columnsAt(nowMs: number): Column<Meaning>[] {
  const ago = (time: string) => humanAgo(Date.parse(time), nowMs);
  const when = (time: string) => `${time.replace(/\.\d+Z$/, 'Z')} (${ago(time)})`;
  const ran = ({ namespace, pod, container, count, lastAt }: Meaning['ranBy'][number]) =>
    `${namespace}/${pod}/${container} (${count === 1 ? '' : `${count} times, `}${ago(lastAt)})`;
  return [
    { header: 'CURRENT', value: ({ until }) => (until === undefined ? '*' : '') },
    { header: 'DIGEST', value: ({ digest }) => `sha256:${shortDigest(digest)}`, wide: false },
    { header: 'DIGEST', value: ({ digest }) => digest, wide: true },
    { header: 'FIRST SEEN', value: ({ firstSeen }) => when(firstSeen) },
    { header: 'LAST SEEN', value: ({ lastSeen }) => when(lastSeen) },
    { header: 'UNTIL', value: ({ until }) => (until === undefined ? '' : when(until)), wide: true },
    { header: 'IMAGE ID', value: ({ imageId }) => imageId, wide: true },
    { header: 'PULLED BY', value: ({ pulledBy }) => pulledBy ?? '' },
    {
      header: 'RAN BY',
      value: ({ ranBy }) => {
        const more = ranBy.length > shownContainers ? [`${ranBy.length - shownContainers} more`] : [];
        return [...ranBy.slice(0, shownContainers).map(ran), ...more].join(', ');
      },
      wide: false,
    },
    { header: 'RAN BY', value: ({ ranBy }) => ranBy.map(ran).join(', '), wide: true },
  ];
}
