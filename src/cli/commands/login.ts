import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { UsageError } from '../error-report.ts';
import { addExamples, addNotes } from '../help.ts';
import { ask } from '../prompt.ts';
import { parseRegistry } from '../registry-argument.ts';
import { readStandardInput } from '../standard-input.ts';

interface LoginOptions {
  readonly username?: string;
  readonly passwordStdin?: true;
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('[registry]', 'HOST or HOST:PORT', 'docker.io')
    .option('-u, --username <name>', 'user; asked for when left out')
    .option('--password-stdin', 'take the password from standard input')
    .action((registry: string, options: LoginOptions) => login(cli, registry, options));
  addNotes(
    command,
    'The registry is asked whether it accepts them. They are kept as `docker login` keeps them, so that each ' +
      'finds what the other has: by the credential helper that ~/.docker/config.json names, else in that file. ' +
      'Prefer a token with few rights to a password.',
  );
  addExamples(command, [
    ['lading login ghcr.io', 'Ask for user and password'],
    ['pass ghcr | lading login ghcr.io -u octocat --password-stdin', 'From a password manager'],
  ]);
}

async function login(cli: Cli, name: string, options: LoginOptions): Promise<void> {
  const registry = await parseRegistry(name);
  const [{ RegistryClient, storeDockerCredential }, { registryOptions }] = await Promise.all([
    import('../../registry/index.ts'),
    import('../registry-options.ts'),
  ]);
  const credential = await readCredential(cli, registry, options);
  const client = new RegistryClient(registryOptions(cli));
  let asked: boolean;
  try {
    const origin = `user ${JSON.stringify(credential.username)}`;
    asked = await client.checkCredential(registry, { ...credential, origin }, { signal: cli.signal });
  } finally {
    await client.close();
  }
  const place = await storeDockerCredential(registry, credential);
  const where = 'file' in place ? `${place.file}, unencrypted` : `the credential helper ${place.helper}`;
  if (!asked)
    cli.stderr.write(`warning: ${registry} did not ask for a login, so nothing says that this one is right\n`);
  cli.stdout.write(`Logged in to ${registry} as ${credential.username}; kept in ${where}\n`);
}

async function readCredential(
  cli: Cli,
  registry: string,
  { username: given, passwordStdin }: LoginOptions,
): Promise<{ username: string; password: string }> {
  const isTerminal = process.stdin.isTTY === true;
  if (passwordStdin && given === undefined) {
    throw new UsageError('--password-stdin needs --username', {
      hint: `lading login ${registry} -u NAME --password-stdin`,
    });
  }
  if (!passwordStdin && !isTerminal) {
    throw new UsageError('there is no terminal to ask for a password at', {
      hint: `Give it on standard input: lading login ${registry} -u NAME --password-stdin`,
    });
  }
  const username = given ?? (await ask(cli, `User for ${registry}: `)).trim();
  const password = passwordStdin
    ? (await readStandardInput(cli.signal)).replace(/\r?\n$/, '')
    : await ask(cli, `Password of ${username}: `, { hidden: true });
  if (username === '' || username.includes(':')) throw new UsageError('a user name is not empty and has no colon');
  if (password === '') throw new UsageError('the password is empty');
  return { username, password };
}
