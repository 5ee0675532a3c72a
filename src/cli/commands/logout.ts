import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';
import { parseRegistry } from '../registry-argument.ts';

export function define(command: Command, cli: Cli): void {
  command.argument('[registry]', 'HOST or HOST:PORT', 'docker.io').action((registry: string) => logout(cli, registry));
  addNotes(command, 'Forgets what `lading login` or `docker login` keeps, in the helper or the file where it is.');
  addExamples(command, [['lading logout ghcr.io', 'Forget user and password']]);
}

async function logout(cli: Cli, name: string): Promise<void> {
  const registry = await parseRegistry(name);
  const { eraseDockerCredential } = await import('../../registry/index.ts');
  const erased = await eraseDockerCredential(registry);
  cli.stdout.write(erased ? `Logged out of ${registry}\n` : `Not logged in to ${registry}\n`);
}
