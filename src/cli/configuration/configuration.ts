import { readFileSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { errorCode, LadingError } from '../../lib/errors.ts';
import { fileProblem } from '../../lib/file-problem.ts';
import { homeFolder } from '../../lib/home-folder.ts';
import { UsageError } from '../error-report.ts';
import type { FileContent } from './file.ts';
import { flagOf, type KeyName, keyNames, keyOf, variableOf } from './keys.ts';
import type { ValueOf } from './values.ts';

export type Settings = {
  readonly [Name in KeyName]: Name extends 'root' ? string : ValueOf<Name> | undefined;
} & {
  readonly 'store.keepCompressedLayers': ValueOf<'store.keepCompressedLayers'>;
  readonly 'images.whenRegistryUnreachable': ValueOf<'images.whenRegistryUnreachable'>;
};

export interface Configuration {
  readonly settings: Settings;
  /** Where each value comes from: `flag --root`, `environment LADING_ROOT`, `FILE:LINE`, or `default`. */
  readonly origins: Readonly<Record<KeyName, string>>;
  /** The file, when there is one. */
  readonly file: string | undefined;
}

export interface ConfigurationInput {
  /** `--config`, and the flags of keys. */
  readonly config?: string | undefined;
  readonly flags: Readonly<Partial<Record<KeyName, string>>>;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Effective user id; undefined on systems that have none. */
  readonly uid: number | undefined;
}

/** Names the configuration file instead of `--config`. */
export const configFileVariable = 'LADING_CONFIG';

/** How the origin of what a flag says begins. */
const flagOrigin = 'flag ';

interface Given {
  /** Of a flag or a variable its text, of a file what YAML makes of it. */
  readonly input: unknown;
  readonly isText: boolean;
  readonly origin: string;
}

/**
 * What holds: a flag before the environment, that before the file, that before the default. An empty flag or variable
 * counts as not given.
 * @throws LadingError `ERR_LADING_CONFIG` with everything that is wrong; a UsageError when a flag is
 */
export async function loadConfiguration({ config, flags, env, uid }: ConfigurationInput): Promise<Configuration> {
  const named = config || env[configFileVariable];
  const file = named ? resolve(named) : join(configurationFolder(env, uid), 'config.yaml');
  const content = await readFile(file, { mustExist: Boolean(named) });
  const problems = [...(content?.problems ?? [])];
  const settings: Record<string, unknown> = {};
  const origins: Partial<Record<KeyName, string>> = {};
  for (const name of keyNames) {
    const given = fromFlag(name, flags) ?? fromEnvironment(name, env) ?? fromFile(name, content);
    origins[name] = given?.origin ?? 'default';
    settings[name] = keyOf(name).default;
    if (!given) continue;
    const checked = await check(name, given);
    if ('problem' in checked) problems.push(`${given.origin}: ${name}: ${checked.problem}`);
    else settings[name] = checked.value;
  }
  if (problems.length > 0) throw unusable(problems);
  settings.root = resolve((settings.root as string | undefined) ?? defaultRoot(env, uid));
  return {
    settings: settings as Settings,
    origins: origins as Record<KeyName, string>,
    file: content && file,
  };
}

function unusable(problems: readonly string[]): LadingError {
  const message = `the configuration cannot be used: ${problems.join('; ')}`;
  const hint = '`lading config --help` lists the keys.';
  if (problems.some((problem) => problem.startsWith(flagOrigin))) {
    return new UsageError(message, { code: 'ERR_LADING_CONFIG', hint });
  }
  return new LadingError('ERR_LADING_CONFIG', message, { hint });
}

function fromFlag(name: KeyName, flags: ConfigurationInput['flags']): Given | undefined {
  const text = flags[name];
  return text ? { input: text, isText: true, origin: `${flagOrigin}${flagOf(name)}` } : undefined;
}

function fromEnvironment(name: KeyName, env: ConfigurationInput['env']): Given | undefined {
  const text = env[variableOf(name)];
  return text ? { input: text, isText: true, origin: `environment ${variableOf(name)}` } : undefined;
}

function fromFile(name: KeyName, content: FileContent | undefined): Given | undefined {
  const given = content?.values.get(name);
  return given && { input: given.value, isText: false, origin: given.place };
}

async function check(name: KeyName, { input, isText }: Given): Promise<{ value: unknown } | { problem: string }> {
  // The one that everybody uses; a library to say that it is a text would take longer than the rest of the start.
  if (name === 'root' && typeof input === 'string') return { value: input };
  const { checkValue } = await import('./values.ts');
  return checkValue(name, isText ? await fromText(name, input as string) : input);
}

async function fromText(name: KeyName, text: string): Promise<unknown> {
  switch (keyOf(name).kind) {
    case 'number':
      return /^-?\d+$/.test(text) ? Number(text) : text;
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'list':
      return text.split(',');
    case 'yaml':
      return readYaml(text);
    case 'text':
      return text;
  }
}

async function readYaml(text: string): Promise<unknown> {
  const { parse } = await import('yaml');
  try {
    return parse(text);
  } catch {
    return text;
  }
}

async function readFile(file: string, { mustExist }: { mustExist: boolean }): Promise<FileContent | undefined> {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (!mustExist && ['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined;
    throw new LadingError('ERR_LADING_CONFIG', `cannot read the configuration ${file}: ${fileProblem(error)}`, {
      hint: `--config and ${configFileVariable} name the file; without them nothing has to be there.`,
      cause: error,
    });
  }
  const { readConfigurationText } = await import('./file.ts');
  return readConfigurationText(text, file);
}

/** Where configuration files are. @see https://specifications.freedesktop.org/basedir-spec/latest/ */
function configurationFolder(env: ConfigurationInput['env'], uid: number | undefined): string {
  return join(uid === 0 ? '/etc' : baseDirectory(env, 'XDG_CONFIG_HOME', '.config'), 'lading');
}

function defaultRoot(env: ConfigurationInput['env'], uid: number | undefined): string {
  return uid === 0 ? '/var/lib/lading' : join(baseDirectory(env, 'XDG_DATA_HOME', '.local/share'), 'lading');
}

/** Relative paths in the variable are ignored, as its specification demands. */
function baseDirectory(env: ConfigurationInput['env'], variable: string, belowHome: string): string {
  const given = env[variable];
  return given && isAbsolute(given) ? given : join(homeFolder(env), belowHome);
}
