import type { Command } from 'commander';
import type { GarbageReport } from '../../store/index.ts';
import { addExamples, type Cli, storeOptions } from '../cli.ts';
import { humanSize } from '../human.ts';
import { type DocumentFormat, documentFormatOption, formatTable, printDocument } from '../output.ts';

interface GcOptions {
  readonly dryRun?: boolean;
  readonly output?: DocumentFormat;
}

export function define(command: Command, cli: Cli): void {
  command
    .option('--dry-run', 'say what would go, and change nothing')
    .addOption(documentFormatOption())
    .addHelpText(
      'after',
      '\nKept is what a name or a container needs, and what a pull that was cut off may go on with: content without a name\n' +
        'for an hour, unfinished downloads for a day.',
    )
    .action((options: GcOptions) => gc(cli, options));
  addExamples(command, [
    ['lading gc --dry-run', 'What would go?'],
    ['lading gc', 'Remove it'],
  ]);
}

async function gc(cli: Cli, { dryRun = false, output }: GcOptions): Promise<void> {
  const { openStore } = await import('../../store/index.ts');
  const store = await openStore(cli.settings.root, storeOptions(cli, { readOnly: dryRun }));
  try {
    const report = await store.collectGarbage({ dryRun });
    if (output) return await printDocument(cli, report, output);
    const rows = rowsOf(report);
    if (rows.length > 0) cli.stdout.write(await formatTable([['KIND', 'ID'], ...rows]));
    cli.stdout.write(`${dryRun ? 'Would free' : 'Freed'} ${humanSize(report.freedBytes)}.\n`);
  } finally {
    store.close();
  }
}

function rowsOf({ images, layers, fixUps, blobs, ingests }: GarbageReport): [kind: string, id: string][] {
  const rows = (kind: string, ids: readonly string[]) => ids.map((id): [string, string] => [kind, id]);
  return [
    ...rows('image', images),
    ...rows('layer', layers),
    ...rows('fix-up', fixUps),
    ...rows('blob', blobs),
    ...rows('ingest', ingests),
  ];
}
