import { type Command, Option } from 'commander';
import type { Cli } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';
import { parseCount, parseDuration, parseSize } from '../option-values.ts';
import { documentFormatOption } from '../output.ts';
import type { RegistryGcOptions } from '../registry-gc.ts';
import type { ServeOptions } from '../registry-serve.ts';

export function define(command: Command, cli: Cli): void {
  command.helpCommand(false);
  addExamples(command, [...defineServe(command, cli), ...defineGc(command, cli)]);
}

function defineServe(command: Command, cli: Cli): readonly (readonly [string, string])[] {
  const serve = command
    .command('serve')
    .description('Serve images until Ctrl-C')
    .option('--addr <host:port>', 'where to listen; port 0 takes a free one', '127.0.0.1:5000')
    .addOption(new Option('--layout <dir>', 'serve an OCI image layout; it is made if it is missing').conflicts('node'))
    .addOption(
      new Option('--repository <name>', 'repository of all images of a layout that is only read').conflicts('node'),
    )
    .addOption(new Option('--node', 'serve what this node has, read-only'))
    .addOption(new Option('--read-only', 'take no pushes and no deletions'))
    .option('--htpasswd <file>', 'users and their passwords, as `htpasswd -B` writes them')
    .option('--tokens <file>', 'tokens of programs, NAME:TOKEN a line')
    .option('--anonymous-pull', 'with --htpasswd or --tokens: only who pushes or deletes has to log in')
    .option('--tls-cert <file>', 'serve https, with this certificate (PEM)')
    .option('--tls-key <file>', 'key of the certificate (PEM)')
    .addOption(new Option('--max-blob-size <size>', 'refuse larger blobs').argParser(parseSize).conflicts('node'))
    .addOption(
      new Option('--max-uploads <number>', 'that one client may have open (default: 1000)')
        .argParser(parseCount)
        .conflicts('node'),
    )
    .addOption(
      new Option('--gc-every <time>', 'collect garbage so often (default: never)')
        .argParser(parseDuration)
        .conflicts('node'),
    )
    .addOption(
      new Option('--gc-grace <time>', 'keep what was used within this time (default: 1h)')
        .argParser(parseDuration)
        .conflicts('node'),
    )
    .option('--access-log <file>', 'write a line for each request, in the combined format')
    .action(async (options: ServeOptions) => {
      const { serveRegistry } = await import('../registry-serve.ts');
      await serveRegistry(cli, options);
    });
  addNotes(
    serve,
    'The images are kept in the folder `registry` of the node (see --root), or in the layout: no other program may ' +
      'write to that meanwhile, unless it is served with --read-only. Without --htpasswd and --tokens, who reaches ' +
      'the address can push and delete; without --tls-cert, everything is sent in the clear. -v prints a line for ' +
      'each request.',
    'SIGHUP reads the certificate again and reopens the access log. The users are read again when their file changes.',
  );
  const examples = [
    ['lading registry serve', 'Serve on 127.0.0.1:5000'],
    ['lading registry serve --addr 127.0.0.1:0 --root /tmp/demo -v', 'On a free port, elsewhere, with an access log'],
    ['lading registry serve --htpasswd users --tls-cert tls.crt --tls-key tls.key', 'For users, by https'],
    ['lading registry serve --layout images', 'Keep the images in an OCI layout, for tools that read those'],
    ['lading registry serve --node --addr 10.0.0.7:5000', 'Give other nodes what this one has'],
  ] as const;
  addExamples(serve, examples);
  return examples;
}

function defineGc(command: Command, cli: Cli): readonly (readonly [string, string])[] {
  const gc = command
    .command('gc')
    .description('Remove from the registry what nothing refers to')
    .option('--dry-run', 'say what would go, and change nothing')
    .option('--layout <dir>', 'of a registry that keeps its images in an OCI image layout')
    .addOption(
      new Option('--grace <time>', 'keep what was pushed, pulled or asked for within this time')
        .argParser(parseDuration)
        .default(60 * 60 * 1000, '1h'),
    )
    .addOption(documentFormatOption())
    .action(async (options: RegistryGcOptions) => {
      const { collectGarbage } = await import('../registry-gc.ts');
      await collectGarbage(cli, options);
    });
  addNotes(
    gc,
    'Kept is what has a tag, what an index or manifest that is kept needs, and what refers to it. The registry may ' +
      'go on serving. With --grace 0 a push that is under way may have to be repeated.',
  );
  const examples = [
    ['lading registry gc --dry-run', 'What would go?'],
    ['lading registry gc --grace 24h', 'Remove what nobody has used for a day'],
  ] as const;
  addExamples(gc, examples);
  return examples;
}
