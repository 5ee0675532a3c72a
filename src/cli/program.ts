/** The command line as a whole: global options, the list of commands, what happens around an action. */
import { constants } from 'node:os';
import { styleText } from 'node:util';
import { Command, Option } from 'commander';
import { errorCode } from '../lib/errors.ts';
import { packageVersion } from '../lib/package-version.ts';
import { type Cli, Exit, Interruption } from './cli.ts';
import { commandTable, defineCommand } from './commands/index.ts';
import { type Configuration, configFileVariable, loadConfiguration } from './configuration/configuration.ts';
import { flagOf, type KeyName, keyNames, keyOf, variableOf } from './configuration/keys.ts';
import { exitCodes, reportError } from './error-report.ts';
import { helpLayout, helpWidth } from './help.ts';

export interface ProgramContext {
  readonly stdout: NodeJS.WriteStream;
  readonly stderr: NodeJS.WriteStream;
  /** Aborted, with an `Interruption`, when the running command shall end. */
  readonly signal: AbortSignal;
  /** @see Cli */
  onSecondInterrupt(hurry: () => void): void;
  /** @see Cli */
  onHangup(reload: () => void): void;
}

interface GlobalOptions {
  readonly config?: string;
  readonly verbose?: true;
}

/** What was found out about the configuration when an action begins; thrown where it is wanted. */
type LoadedConfiguration = { readonly value: Configuration } | { readonly error: unknown };

/**
 * Runs one command line, given without the names of node and of this program. Says on stderr what went wrong.
 * Returns the exit code: 0 done, 1 failed, 2 wrong usage, 128 + N ended by signal N.
 */
export async function runProgram(args: readonly string[], context: ProgramContext): Promise<number> {
  const program = createProgram(context);
  const cli = createCli(program, context);
  try {
    program.hook('preSubcommand', (_, command) => defineCommand(command, cli));
    program.hook('preAction', async (_, command) => {
      await cli.loadConfiguration();
      await enterUserNamespace(command, cli);
    });
    const words = withHelpOption(program, withoutEqualsSign(args));
    await requireKnownCommand(program, words);
    await program.parseAsync(words, { from: 'user' });
    return exitCodes.done;
  } catch (error) {
    if (error instanceof Exit) return error.exitCode;
    // Of a pipe that a command opened by itself, as `save -o PIPE`.
    const isPipeGone = errorCode(error) === 'EPIPE' && (error as NodeJS.ErrnoException).syscall === 'write';
    const reason: unknown = isPipeGone ? new Interruption('SIGPIPE') : context.signal.reason;
    return reason instanceof Interruption ? reportInterruption(reason, context) : cli.report(error);
  }
}

function createProgram({ stdout, stderr }: ProgramContext): Command {
  const program: Command = new Command('lading');
  for (const option of configurationOptions.values()) program.addOption(option);
  program
    .description('Which bytes does this image name mean, here, now? Container images on Kubernetes nodes.')
    .usage('[options] COMMAND')
    .option('--config <file>', `the configuration file (${configFileVariable})`)
    .option('-v, --verbose', 'tell more: requests, causes of errors')
    .option('--no-color', 'no colours, as with NO_COLOR', true)
    .version(packageVersion(), '--version', 'show the version')
    .helpOption('-h, --help', 'show how to use a command')
    .helpCommand(false)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
      getOutHelpWidth: () => helpWidth(stdout),
      getErrHelpWidth: () => helpWidth(stderr),
      // Errors arrive as exceptions and are reported in one place.
      outputError: () => undefined,
    })
    .configureHelp({ ...helpLayout, styleTitle: (title) => styleText('bold', title, { stream: stdout }) })
    .addHelpText('after', (event) => (event.command === program ? '\n`lading COMMAND --help` shows examples.' : ''));
  program.on('option:no-color', turnOffColor);
  for (const { name, summary, group, hidden = false } of commandTable) {
    program.command(name, { hidden }).description(summary).helpGroup(`${group}:`);
  }
  return program;
}

/** The flags of the keys. `lading config --help` lists them all; the other commands show the one that everybody needs. */
const configurationOptions: ReadonlyMap<KeyName, Option> = new Map(
  keyNames.map((name) => {
    const { summary, placeholder } = keyOf(name);
    const option = new Option(`${flagOf(name)} ${placeholder}`, `${summary} (${variableOf(name)})`);
    return [name, option.hideHelp(name !== 'root')];
  }),
);

function createCli(program: Command, context: ProgramContext): Cli & { loadConfiguration(): Promise<void> } {
  const { stdout, stderr, signal, onSecondInterrupt, onHangup } = context;
  const options = () => program.opts<GlobalOptions>();
  let loaded: LoadedConfiguration | undefined;
  return {
    async loadConfiguration() {
      const { config } = options();
      const flags = Object.fromEntries(keyNames.map((name) => [name, flagValue(program, name)]));
      loaded = await loadConfiguration({ config, flags, env: process.env, uid: process.geteuid?.() }).then(
        (value) => ({ value }),
        (error: unknown) => ({ error }),
      );
    },
    stdout,
    stderr,
    signal,
    onSecondInterrupt,
    onHangup,
    get verbose() {
      return options().verbose === true;
    },
    get configuration() {
      if (!loaded || 'error' in loaded) throw loaded?.error ?? new Error('the configuration is not loaded yet');
      return loaded.value;
    },
    get settings() {
      return this.configuration.settings;
    },
    report(error) {
      return reportError(error, { stderr, verbose: options().verbose === true, command: typedCommand(program) });
    },
  };
}

/** What was typed up to the command: `lading registry serve`. */
function typedCommand(program: Command): string {
  const path = [program];
  for (const word of program.args) {
    const next = path.at(-1)!.commands.find((command) => command.name() === word);
    if (!next) break;
    path.push(next);
  }
  return path.map((command) => command.name()).join(' ');
}

function flagValue(program: Command, name: KeyName): string | undefined {
  return program.getOptionValue(configurationOptions.get(name)!.attributeName()) as string | undefined;
}

/** `lading` and `lading help` list the commands, `lading help COMMAND` describes one. */
function withHelpOption(program: Command, args: readonly string[]): readonly string[] {
  if (args.length === 0) return ['--help'];
  const [name] = program.parseOptions([...args]).operands;
  return name === 'help' ? [...args.toSpliced(args.indexOf(name), 1), '--help'] : args;
}

/** `-o=json` as kubectl takes it. */
function withoutEqualsSign(args: readonly string[]): readonly string[] {
  const end = args.indexOf('--');
  return args.map((word, index) => (end === -1 || index < end ? word.replace(/^-o=/, '-o') : word));
}

/** Before commander, which shows the help of the whole program for `lading juggle --help`. */
async function requireKnownCommand(program: Command, words: readonly string[]): Promise<void> {
  const [name] = program.parseOptions([...words]).operands;
  const known = program.commands.map((command) => command.name());
  if (name === undefined || known.includes(name)) return;
  const { unknownCommand } = await import('./unknown-command.ts');
  throw unknownCommand(name, known);
}

/**
 * Without root, a command that handles layers does its work in a second process, which is root of a user namespace;
 * this one waits for it. The one place that decides this.
 */
async function enterUserNamespace(command: Command, cli: Cli): Promise<void> {
  if (process.platform !== 'linux' || process.geteuid?.() === 0 || !handlesLayers(command)) return;
  const { reexecInUserNamespace, userNamespaceSupport } = await import('../runtime/user-namespace.ts');
  // The demo has something to tell without containers.
  if (command.name() === 'demo' && !userNamespaceSupport().ok) return;
  const { socketFolder, socketFolderVariable } = await import('../api/socket-folder.ts');
  // Root of the namespace would have other defaults.
  process.env[variableOf('root')] = cli.settings.root;
  process.env[configFileVariable] = cli.configuration.file ?? '/dev/null';
  process.env[socketFolderVariable] = socketFolder(process.env, process.geteuid!());
  const letTheOtherDecide = () => cli.onSecondInterrupt(letTheOtherDecide);
  letTheOtherDecide();
  throw new Exit(await reexecInUserNamespace(process.argv.slice(1)));
}

function handlesLayers(command: Command): boolean {
  const names = [command, command.parent].map((known) => known?.name());
  return commandTable.some((entry) => entry.handlesLayers && names.includes(entry.name));
}

/** The environment variable is what Node and all libraries obey, also in child processes. */
function turnOffColor(): void {
  process.env.NO_COLOR = '1';
  delete process.env.FORCE_COLOR;
}

function reportInterruption({ signal }: Interruption, { stderr }: ProgramContext): number {
  if (signal !== 'SIGPIPE') stderr.write('interrupted\n');
  return 128 + constants.signals[signal];
}
