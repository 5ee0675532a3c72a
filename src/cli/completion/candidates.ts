import type { Argument, Command, Option } from 'commander';

export interface Candidate {
  readonly value: string;
  readonly description: string;
}

/** What may stand where the cursor is: some words, or the names of files or of folders. */
export type Completion =
  | { readonly kind: 'words'; readonly candidates: readonly Candidate[] }
  | { readonly kind: 'files' | 'folders' };

export interface CompletionSources {
  /** Gives a command its arguments and options, which are loaded when they are wanted. */
  readonly define: (command: Command) => Promise<void>;
  /** Names of the images on the node that begin with the prefix. */
  readonly imageNames: (wanted: { root?: string | undefined; prefix: string }) => Promise<readonly string[]>;
  /** Names of the pods that run on the node. */
  readonly podNames: (wanted: { root?: string | undefined }) => Promise<readonly string[]>;
}

/**
 * What the shell may offer for the last of `words`, which can be empty. Looks at what the commands declare: the choices
 * of options and arguments, arguments called `image`, `file`, `file|image` or `pod`, values called `dir`, `file` or `pod`.
 * @param words after the name of the program, up to the cursor
 */
export async function complete(
  program: Command,
  words: readonly string[],
  sources: CompletionSources,
): Promise<Completion> {
  const current = words.at(-1) ?? '';
  const place = await findPlace(program, words.slice(0, -1), sources);
  // `--policy=Al`: as after a blank, with what is before it in front.
  const [, flag = '', value = current] = place.onlyOperands ? [] : (/^(--?[^=]+=)(.*)$/.exec(current) ?? []);
  const option = flag === '' ? undefined : optionWithValue(place.command, flag.slice(0, -1));
  if (flag !== '' && !option) return { kind: 'words', candidates: [] };
  const found = await candidatesAt(option ? { ...place, option } : place, value, sources);
  if (found.kind !== 'words') return found;
  const fitting = found.candidates.filter((candidate) => candidate.value.startsWith(value));
  return { kind: 'words', candidates: fitting.map((candidate) => ({ ...candidate, value: flag + candidate.value })) };
}

/** Where the cursor is. */
interface Place {
  readonly command: Command;
  /** Of the command, before the cursor. */
  readonly operands: readonly string[];
  /** The option whose value comes next. */
  readonly option: Option | undefined;
  readonly onlyOperands: boolean;
  /** `--root` so far. */
  readonly root: string | undefined;
}

async function findPlace(program: Command, before: readonly string[], sources: CompletionSources): Promise<Place> {
  let command = program;
  let operands: string[] = [];
  let option: Option | undefined;
  let onlyOperands = false;
  let root: string | undefined;
  for (const word of before) {
    if (option) {
      if (option.long === '--root') root = word;
      option = undefined;
    } else if (word === '--' && !onlyOperands) {
      onlyOperands = true;
    } else if (word.startsWith('-') && !onlyOperands) {
      option = optionWithValue(command, word);
      if (word.startsWith('--root=')) root = word.slice('--root='.length);
    } else {
      const subcommand = command.commands.find((known) => known.name() === word);
      if (subcommand) {
        command = subcommand;
        operands = [];
        if (subcommand.parent === program) await sources.define(subcommand);
      } else {
        operands.push(word);
      }
    }
  }
  return { command, operands, option, onlyOperands, root };
}

async function candidatesAt(place: Place, current: string, sources: CompletionSources): Promise<Completion> {
  const { command, operands, option, onlyOperands, root } = place;
  const podNames = async () => {
    const names = await sources.podNames({ root });
    return words([...new Set(names)].filter((name) => !operands.includes(name)).map(withoutDescription));
  };
  if (option?.flags.endsWith('<pod>')) return podNames();
  if (option) return valuesOf(option.argChoices, option.flags);
  if (current.startsWith('-') && !onlyOperands) {
    return words(optionsOf(command).map(({ long, description }) => ({ value: long ?? '', description })));
  }
  if (command.commands.length > 0) {
    const visible = command.createHelp().visibleCommands(command);
    return words(visible.map((known) => ({ value: known.name(), description: known.description() })));
  }
  const argument = argumentAt(command, operands.length);
  if (!argument) return words([]);
  const kinds = argument.name().split('|');
  if (kinds.includes('pod')) return podNames();
  if (!kinds.includes('image')) return valuesOf(argument.argChoices, `<${argument.name()}>`);
  const names = (await sources.imageNames({ root, prefix: current })).filter((name) => !operands.includes(name));
  if (names.length === 0 && kinds.includes('file')) return { kind: 'files' };
  return words(names.map(withoutDescription));
}

function valuesOf(choices: readonly string[] | undefined, flags: string): Completion {
  if (choices) return words(choices.map(withoutDescription));
  if (flags.endsWith('<dir>')) return { kind: 'folders' };
  return flags.endsWith('<file>') ? { kind: 'files' } : words([]);
}

function withoutDescription(value: string): Candidate {
  return { value, description: '' };
}

function words(candidates: readonly Candidate[]): Completion {
  return { kind: 'words', candidates };
}

function argumentAt(command: Command, index: number): Argument | undefined {
  const last = command.registeredArguments.at(-1);
  return command.registeredArguments[index] ?? (last?.variadic ? last : undefined);
}

function optionWithValue(command: Command, flag: string): Option | undefined {
  return optionsOf(command).find((known) => known.required && [known.short, known.long].includes(flag));
}

/** Of the command and of the whole program. */
function optionsOf(command: Command): Option[] {
  const help = command.createHelp();
  return [...help.visibleOptions(command), ...help.visibleGlobalOptions(command)];
}
