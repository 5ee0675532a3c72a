import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { parseArgument, UsageError } from '../error-report.ts';
import { addExamples, addNotes } from '../help.ts';

export function define(command: Command, cli: Cli): void {
  command
    .argument('<image>', 'REPOSITORY:TAG on its registry, or REPOSITORY@DIGEST with all its tags')
    .action((image: string) => removeTag(cli, image));
  addNotes(
    command,
    'Not every registry allows it; some delete digests only. The tag has to be written: there is no :latest by ' +
      'default.',
  );
  addExamples(command, [['lading rm-tag 127.0.0.1:5000/app:old', 'Remove a tag from a registry']]);
}

async function removeTag(cli: Cli, text: string): Promise<void> {
  const [{ formatReference, parseReference, pullReference }, { RegistryClient }, { registryOptions }] =
    await Promise.all([
      import('../../oci/index.ts'),
      import('../../registry/index.ts'),
      import('../registry-options.ts'),
    ]);
  const reference = parseArgument(parseReference, text);
  if (reference.tag === undefined && reference.digest === undefined) {
    throw new UsageError(`${text} has no tag`, { hint: 'Write the tag that shall go: REPOSITORY:TAG.' });
  }
  const name = formatReference(pullReference(reference));
  const registry = new RegistryClient(registryOptions(cli));
  try {
    const removed = await registry.deleteManifest(pullReference(reference), { signal: cli.signal });
    if (removed) cli.stdout.write(`Removed: ${name}\n`);
    else cli.stderr.write(`${name} is not there\n`);
  } finally {
    await registry.close();
  }
}
