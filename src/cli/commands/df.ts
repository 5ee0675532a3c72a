import { join } from 'node:path';
import type { Command } from 'commander';
import type { Store } from '../../store/index.ts';
import { type Cli, storeOptions } from '../cli.ts';
import { folderUsage } from '../folder-usage.ts';
import { addExamples, addNotes } from '../help.ts';
import { humanSize, plural } from '../human.ts';
import { type Column, type ListFormat, listFormatOption, noHeadersOption, printList } from '../output.ts';

interface DfOptions {
  readonly output: ListFormat;
  readonly headers: boolean;
}

interface UsageRow {
  readonly type: string;
  readonly count: number;
  /** Bytes as their owners count them, not disk blocks. */
  readonly size: number;
  /** Bytes that `lading gc` would free now. */
  readonly reclaimable: number;
  /** Below the root. */
  readonly path: string;
}

export function define(command: Command, cli: Cli): void {
  command
    .addOption(listFormatOption())
    .addOption(noHeadersOption())
    .action((options: DfOptions) => df(cli, options));
  addNotes(command, 'RECLAIMABLE is what `lading gc` would free now.');
  addExamples(command, [
    ['lading df', 'What takes the space of this node?'],
    ["lading df -o json | jq 'map(.size) | add'", 'The sum, in bytes'],
  ]);
}

/** What lies below the root beside the store. */
const otherFolders = ['containers', 'sandboxes', 'logs', 'registry'];

async function df(cli: Cli, { output, headers }: DfOptions): Promise<void> {
  const { openStore } = await import('../../store/index.ts');
  const { root } = cli.settings;
  const store = await openStore(root, storeOptions(cli, { readOnly: true }));
  try {
    const folders = await Promise.all(
      otherFolders.map(async (name) => ({ name, usage: await folderUsage(join(root, name)) })),
    );
    const rows = [...(await storeRows(store)), ...folders.map(({ name, usage }) => row(name, usage))];
    await printList(cli, rows, { format: output, headers, columns, empty: '' });
    const unreadable = folders.reduce((sum, { usage }) => sum + usage.unreadable, 0);
    if (unreadable > 0)
      cli.stderr.write(`${plural(unreadable, 'folder')} of containers may not be read and are not counted\n`);
  } finally {
    store.close();
  }
}

async function storeRows(store: Store): Promise<UsageRow[]> {
  const usage = await store.diskUsage();
  const garbage = await store.collectGarbage({ dryRun: true });
  const layerBytes = new Map(store.layers.list().map(({ diffId, bytes }) => [diffId, bytes]));
  const blobSizes = await Promise.all(garbage.blobs.map((digest) => store.blobs.size(digest)));
  const layers = sum(garbage.layers.map((diffId) => layerBytes.get(diffId) ?? 0));
  const blobs = sum(blobSizes.map((size) => size ?? 0));
  const database = { count: Math.sign(usage.databaseBytes), bytes: usage.databaseBytes };
  return [
    row('blobs', usage.blobs, { reclaimable: blobs }),
    row('layers', usage.layers, { reclaimable: layers }),
    row('ingests', usage.ingests, { path: 'ingest', reclaimable: garbage.freedBytes - blobs - layers }),
    row('database', database, { path: 'lading.db' }),
  ];
}

function row(
  type: string,
  { count, bytes }: { readonly count: number; readonly bytes: number },
  { path = type, reclaimable = 0 }: Partial<Pick<UsageRow, 'path' | 'reclaimable'>> = {},
): UsageRow {
  return { type, count, size: bytes, reclaimable, path };
}

const columns: readonly Column<UsageRow>[] = [
  { header: 'TYPE', value: ({ type }) => type },
  { header: 'COUNT', value: ({ count }) => String(count) },
  { header: 'SIZE', value: ({ size }) => humanSize(size) },
  { header: 'RECLAIMABLE', value: ({ reclaimable }) => humanSize(reclaimable) },
  { header: 'PATH', value: ({ path }) => path, wide: true },
];

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
