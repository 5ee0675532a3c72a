import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { parseArgument, UsageError } from '../error-report.ts';
import { addExamples } from '../help.ts';
import { type DocumentFormat, documentFormatOption, oneLine, printDocument } from '../output.ts';

export function define(command: Command, cli: Cli): void {
  command
    .argument('<repository>', 'a repository on its registry')
    .addOption(documentFormatOption())
    .action((repository: string, options: { output?: DocumentFormat }) => listTags(cli, repository, options));
  addExamples(command, [['lading ls-tags 127.0.0.1:5000/app', 'Which tags does the registry have?']]);
}

async function listTags(cli: Cli, text: string, { output }: { output?: DocumentFormat }): Promise<void> {
  const [{ parseReference }, { RegistryClient }, { registryOptions }] = await Promise.all([
    import('../../oci/index.ts'),
    import('../../registry/index.ts'),
    import('../registry-options.ts'),
  ]);
  const reference = parseArgument(parseReference, text);
  if (reference.tag !== undefined || reference.digest !== undefined) {
    throw new UsageError(`${text} is an image, not a repository`, { hint: 'Leave out the tag or digest.' });
  }
  const registry = new RegistryClient(registryOptions(cli));
  try {
    const tags = (await registry.listTags(reference, { signal: cli.signal })).sort();
    if (output) return await printDocument(cli, tags, output);
    if (tags.length === 0) cli.stderr.write(`${text} has no tags\n`);
    for (const tag of tags) cli.stdout.write(`${oneLine(tag)}\n`);
  } finally {
    await registry.close();
  }
}
