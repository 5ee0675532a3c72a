import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { errorCode, errorMessage, LadingError } from '../lib/errors.ts';
import { homeFolder } from '../lib/home-folder.ts';
import { credentialFromHelper, helperRunner, type RunHelper } from './credential-helper.ts';
import type { Credential, CredentialSource } from './credentials.ts';

/** A parsed docker `config.json`: each `auths` entry is a credential, possibly an empty one. */
export interface DockerConfig {
  readonly auths: ReadonlyMap<string, Omit<Credential, 'origin'>>;
  readonly credHelpers: ReadonlyMap<string, string>;
  readonly credsStore: string;
}

export interface DockerConfigLookup {
  /** Text of `config.json`; empty when there is none. */
  readonly config: string;
  /** Name of that file, for messages. */
  readonly file: string;
  /** The registry of a reference. */
  readonly registry: string;
  /** Value of the environment variable `DOCKER_AUTH_CONFIG`. */
  readonly environmentConfig?: string | undefined;
  readonly runHelper?: RunHelper | undefined;
}

/** The name of a registry in `auths`, `credHelpers`, and for helpers. */
export function dockerConfigKey(registry: string): string {
  return registry === 'docker.io' || registry === 'index.docker.io' ? 'https://index.docker.io/v1/' : registry;
}

export function dockerConfigFile(environment: NodeJS.ProcessEnv): string {
  return path.join(environment.DOCKER_CONFIG || path.join(homeFolder(environment), '.docker'), 'config.json');
}

/**
 * The credentials that the docker command line would use: `$DOCKER_CONFIG/config.json` or `~/.docker/config.json`,
 * with its credential helpers, and `DOCKER_AUTH_CONFIG`. Read anew for each question.
 */
export function dockerConfigCredentials(environment: NodeJS.ProcessEnv = process.env): CredentialSource {
  return async (registry, { signal } = {}) => {
    const file = dockerConfigFile(environment);
    const config = await readDockerConfig(file);
    const environmentConfig = environment.DOCKER_AUTH_CONFIG;
    const runHelper = helperRunner(signal);
    const credential = await findDockerCredential({ config, file, registry, environmentConfig, runHelper });
    return credential ? [credential] : [];
  };
}

/**
 * @throws LadingError `ERR_LADING_CREDENTIALS_CONFIG_INVALID` when the file cannot be used, even if the fault is in the
 *   entry of another registry; the codes of `credentialFromHelper`
 * @see registry.md 4.1
 */
export async function findDockerCredential(lookup: DockerConfigLookup): Promise<Credential | undefined> {
  const { registry, file } = lookup;
  const key = dockerConfigKey(registry);
  const fromEnvironment = environmentAuths(lookup.environmentConfig).get(key);
  if (fromEnvironment) return { ...fromEnvironment, origin: 'DOCKER_AUTH_CONFIG' };
  const config = parseDockerConfig(lookup.config, file);
  const helper = helperFor(config, key);
  if (helper !== '') return credentialFromHelper(helper, key, lookup.runHelper);
  const entry = config.auths.get(key) ?? [...config.auths].find(([name]) => hostOfKey(name) === key)?.[1];
  if (!entry || Object.keys(entry).length === 0) return undefined;
  return { ...entry, origin: `docker config.json (${file})` };
}

/** The helper that keeps credentials for a key; empty when they are in the file, also because its entry is empty. */
export function helperFor({ credHelpers, credsStore }: DockerConfig, key: string): string {
  return credHelpers.get(key) ?? credsStore;
}

/** Empty when there is none. */
export async function readDockerConfig(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return '';
    throw configInvalid(file, `cannot be read: ${errorMessage(error)}`);
  }
}

/**
 * @param parse what to make of one entry; by default, one that cannot be decoded makes the whole file unusable
 * @throws LadingError `ERR_LADING_CREDENTIALS_CONFIG_INVALID`
 */
export function parseDockerConfig(text: string, file: string, parse = parseEntry): DockerConfig {
  if (text.trim() === '') return { auths: new Map(), credHelpers: new Map(), credsStore: '' };
  try {
    const document = objectOf(parseJson(text), 'the file');
    return {
      auths: mapOf(memberOf(document, 'auths'), 'auths', (entry, name) => parse(entryOf(entry, name), name)),
      credHelpers: mapOf(memberOf(document, 'credHelpers'), 'credHelpers', textOf),
      credsStore: textOf(memberOf(document, 'credsStore'), 'credsStore'),
    };
  } catch (error) {
    throw configInvalid(file, errorMessage(error));
  }
}

/** An environment configuration that is not exactly `{auths: {KEY: {auth}}}` is ignored, as docker does, with a warning. */
function environmentAuths(text: string | undefined): ReadonlyMap<string, Omit<Credential, 'origin'>> {
  if (text === undefined || text === '') return new Map();
  try {
    const document = objectOf(parseJson(text), 'the value');
    const other = Object.keys(document).find((name) => name.toLowerCase() !== 'auths');
    if (other !== undefined) throw new Error(`only auths is allowed in it, not ${other}`);
    return mapOf(memberOf(document, 'auths'), 'auths', (value, name) => {
      const entry = entryOf(value, name);
      const isOther = (field: string) => field.toLowerCase() !== 'auth';
      if (Object.keys(entry).some(isOther)) throw new Error(`only auth is allowed in ${name}`);
      return parseEntry(entry, name);
    });
  } catch (error) {
    process.emitWarning(`DOCKER_AUTH_CONFIG is ignored: ${errorMessage(error)}`, { code: 'LADING_DOCKER_AUTH_CONFIG' });
    return new Map();
  }
}

/** @throws Error whose message says what is wrong with it */
export function parseEntry(entry: Record<string, unknown>, name: string): Omit<Credential, 'origin'> {
  const text = (member: string) => textOf(memberOf(entry, member), name);
  const auth = text('auth');
  const pair = auth === '' ? { username: text('username'), password: text('password') } : decodeAuth(auth, name);
  const identityToken = text('identitytoken');
  const registryToken = text('registrytoken');
  return {
    ...(pair.username !== '' && { username: pair.username }),
    ...(pair.password !== '' && { password: pair.password }),
    ...(identityToken !== '' && { identityToken }),
    ...(registryToken !== '' && { registryToken }),
  };
}

function decodeAuth(auth: string, name: string): { username: string; password: string } {
  const base64 = auth.replace(/[\r\n]/g, '');
  if (base64.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(base64)) {
    throw new Error(`the auth of ${JSON.stringify(name)} is not base64`);
  }
  const decoded = Buffer.from(base64, 'base64').toString('utf8');
  const colon = decoded.indexOf(':');
  if (colon < 1) throw new Error(`the auth of ${JSON.stringify(name)} is not USER:PASSWORD in base64`);
  return { username: decoded.slice(0, colon), password: decoded.slice(colon + 1).replace(/^\0+|\0+$/g, '') };
}

/** `https://host/v1/` and `host/path` are old spellings of `host`. */
export function hostOfKey(key: string): string {
  return key.replace(/^https?:\/\//, '').replace(/\/.*$/s, '');
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it is not JSON'); // V8's message quotes the text, which holds secrets
  }
}

function objectOf(value: unknown, what: string): Record<string, unknown> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`${what} is not an object`);
}

/** Null stands for an empty entry. */
function entryOf(value: unknown, name: string): Record<string, unknown> {
  return value === null ? {} : objectOf(value, name);
}

/** Docker reads names of members whatever their case, and the last of several counts. */
function memberOf(object: Record<string, unknown>, name: string): unknown {
  return Object.entries(object).findLast(([written]) => written.toLowerCase() === name.toLowerCase())?.[1];
}

function mapOf<T>(value: unknown, what: string, read: (value: unknown, name: string) => T): ReadonlyMap<string, T> {
  const entries = value === undefined || value === null ? [] : Object.entries(objectOf(value, what));
  return new Map(entries.map(([name, entry]) => [name, read(entry, name)]));
}

function textOf(value: unknown, what: string): string {
  if (value === undefined || value === null) return '';
  if (typeof value === 'string') return value;
  throw new Error(`${what} holds something else than text`);
}

function configInvalid(file: string, reason: string): LadingError {
  return new LadingError('ERR_LADING_CREDENTIALS_CONFIG_INVALID', `Cannot use ${file} for credentials: ${reason}`, {
    hint: 'Correct the file, or remove it to go on without credentials.',
  });
}
