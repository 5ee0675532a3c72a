import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { complete } from '../completion/candidates.ts';
import { defineCommand } from './index.ts';

/** `lading __complete`, which the completion scripts call. */
export function define(command: Command, cli: Cli): void {
  command
    .argument('[words...]', 'the command line after the name of the program, up to the cursor')
    .action(async (words: string[]) => {
      const completion = await complete(command.parent!, words, {
        define: (wanted) => defineCommand(wanted, cli),
        imageNames: ({ root = cli.settings.root, prefix }) => imageNames(root, prefix),
        podNames: ({ root = cli.settings.root }) => podNames(cli, root),
      });
      if (completion.kind !== 'words') {
        cli.stdout.write(`:${completion.kind}\n`);
        return;
      }
      for (const { value, description } of completion.candidates) cli.stdout.write(`${value}\t${description}\n`);
    });
}

/** Names that begin with the prefix, short or in full. A node that cannot be read has none. */
async function imageNames(root: string, prefix: string): Promise<readonly string[]> {
  const [{ openStore }, { familiarReference, parseReference }, { namesWorthALine }] = await Promise.all([
    import('../../store/index.ts'),
    import('../../oci/index.ts'),
    import('../node-names.ts'),
  ]);
  try {
    const store = await openStore(root, { readOnly: true });
    const names = namesWorthALine(store.names.list()).map(({ name }) => name);
    store.close();
    return names
      .map((name) => [familiarReference(parseReference(name)), name].find((form) => form.startsWith(prefix)))
      .filter((form) => form !== undefined);
  } catch {
    return [];
  }
}

async function podNames(cli: Cli, root: string): Promise<readonly string[]> {
  const { runningPods } = await import('../running-pods.ts');
  try {
    return (await runningPods(cli, root).list()).map(({ name }) => name);
  } catch {
    return [];
  }
}
