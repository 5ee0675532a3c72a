import { release } from 'node:os';
import type { Command } from 'commander';
import { packageVersion } from '../../lib/package-version.ts';
import type { Cli } from '../cli.ts';
import { addExamples } from '../help.ts';
import { type DocumentFormat, documentFormatOption, printDocument } from '../output.ts';

export function define(command: Command, cli: Cli): void {
  command.addOption(documentFormatOption()).action(({ output }: { output?: DocumentFormat }) => version(cli, output));
  addExamples(command, [
    ['lading version', 'The version alone'],
    ['lading version -o json', 'With what a bug report should name'],
  ]);
}

async function version(cli: Cli, format: DocumentFormat | undefined): Promise<void> {
  const lading = packageVersion();
  if (format === undefined) {
    cli.stdout.write(`lading ${lading}\n`);
    return;
  }
  const { platform, arch, version: node } = process;
  await printDocument(cli, { lading, node, platform, arch, kernel: release() }, format);
}
