import { chmod, mkdir, open, realpath, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { errorMessage, LadingError } from '../lib/errors.ts';
import { eraseWithHelper, type RunHelper, storeWithHelper } from './credential-helper.ts';
import {
  dockerConfigFile,
  dockerConfigKey,
  helperFor,
  hostOfKey,
  parseDockerConfig,
  readDockerConfig,
} from './docker-config.ts';

export interface DockerLoginOptions {
  /** Default `process.env`. */
  readonly environment?: NodeJS.ProcessEnv;
  readonly runHelper?: RunHelper;
}

/** Where a credential is kept now. */
export type CredentialPlace = { readonly helper: string } | { readonly file: string };

/**
 * Keeps a user and password as docker does: with the helper that docker config.json names for the registry, else in that
 * file, readable by its owner only. Everything else in the file stays.
 * @throws LadingError `ERR_LADING_CREDENTIALS_…`, `ERR_LADING_FILE_UNWRITABLE`
 */
export async function storeDockerCredential(
  registry: string,
  credential: { readonly username: string; readonly password: string },
  { environment = process.env, runHelper }: DockerLoginOptions = {},
): Promise<CredentialPlace> {
  const config = await openConfig(environment);
  const key = dockerConfigKey(registry);
  const helper = helperFor(config.parsed, key);
  if (helper !== '') {
    await storeWithHelper(helper, key, credential, runHelper);
    return { helper: `docker-credential-${helper}` };
  }
  const auth = Buffer.from(`${credential.username}:${credential.password}`, 'utf8').toString('base64');
  await writeConfig(config.file, { ...config.document, auths: { ...config.document.auths, [key]: { auth } } });
  return { file: config.file };
}

/**
 * Removes what is kept for a registry, under its name and under older spellings of it, from the helper and the file.
 * @returns false when there was nothing
 * @throws as `storeDockerCredential`
 */
export async function eraseDockerCredential(
  registry: string,
  { environment = process.env, runHelper }: DockerLoginOptions = {},
): Promise<boolean> {
  const { file, parsed, document } = await openConfig(environment);
  const key = dockerConfigKey(registry);
  const helper = helperFor(parsed, key);
  const erased = helper !== '' && (await eraseWithHelper(helper, key, runHelper));
  const entries = Object.entries(document.auths ?? {});
  const others = entries.filter(([name]) => name !== key && hostOfKey(name) !== hostOfKey(key));
  if (others.length === entries.length) return erased;
  await writeConfig(file, { ...document, auths: Object.fromEntries(others) });
  return true;
}

/** As written in the file, with all that Lading does not know. */
type Document = Readonly<Record<string, unknown>> & { readonly auths?: Readonly<Record<string, unknown>> };

async function openConfig(environment: NodeJS.ProcessEnv) {
  const file = dockerConfigFile(environment);
  const text = await readDockerConfig(file);
  const parsed = parseDockerConfig(text, file);
  const document: Document = text.trim() === '' ? {} : JSON.parse(text);
  return { file, document, parsed };
}

async function writeConfig(file: string, document: Document): Promise<void> {
  try {
    await replaceConfig(file, document);
  } catch (cause) {
    throw new LadingError('ERR_LADING_FILE_UNWRITABLE', `cannot write ${file}: ${errorMessage(cause)}`, {
      hint: 'DOCKER_CONFIG names another folder for it.',
      cause,
    });
  }
}

/** The file is complete at every moment. A link to it stays a link. */
async function replaceConfig(file: string, document: Document): Promise<void> {
  const folder = path.dirname(file);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const target = await realpath(file).catch(() => file);
  const temporary = `${target}.${process.pid}.tmp`;
  try {
    const handle = await open(temporary, 'w', 0o600);
    try {
      await handle.writeFile(`${JSON.stringify(document, undefined, '\t')}\n`);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await chmod(temporary, 0o600); // one that a killed process left may have other rights
    await rename(temporary, target);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
