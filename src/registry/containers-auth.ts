import path from 'node:path';
import { homeFolder } from '../lib/home-folder.ts';
import { credentialFromHelper, type RunHelper } from './credential-helper.ts';
import type { Credential } from './credentials.ts';
import { parseDockerConfig, parseEntry, readDockerConfig } from './docker-config.ts';

/**
 * The files of podman, skopeo and buildah. Their keys may be repositories or folders of them: `quay.io/team/app`.
 * @see registry.md 4.6
 */

/** Where such files are, best first. `$REGISTRY_AUTH_FILE` replaces all others. */
export function containersAuthFiles(environment: NodeJS.ProcessEnv): readonly string[] {
  const { REGISTRY_AUTH_FILE, XDG_RUNTIME_DIR, XDG_CONFIG_HOME } = environment;
  if (REGISTRY_AUTH_FILE) return [REGISTRY_AUTH_FILE];
  return [
    path.join(XDG_RUNTIME_DIR || `/run/containers/${process.getuid?.()}`, 'containers', 'auth.json'),
    path.join(XDG_CONFIG_HOME || path.join(homeFolder(environment), '.config'), 'containers', 'auth.json'),
  ];
}

/**
 * What one of these files has for a registry: one credential for each path, of which the most specific one counts; one
 * without a secret means "anonymous here".
 * @throws LadingError `ERR_LADING_CREDENTIALS_…`
 */
export async function containersAuthCredentials(
  file: string,
  registry: string,
  { runHelper }: { runHelper?: RunHelper | undefined } = {},
): Promise<readonly Credential[]> {
  const text = await readDockerConfig(file);
  return credentialsInAuthFile({ text, file, registry, runHelper });
}

/** The same for the file's text. */
export async function credentialsInAuthFile({
  text,
  file,
  registry,
  runHelper,
}: {
  readonly text: string;
  readonly file: string;
  readonly registry: string;
  readonly runHelper?: RunHelper | undefined;
}): Promise<readonly Credential[]> {
  const { auths, credHelpers } = parseDockerConfig(text, file, parseLeniently);
  const helper = credHelpers.get(registry);
  if (helper !== undefined) {
    const credential = await credentialFromHelper(helper, registry, runHelper);
    return credential ? [credential] : [];
  }
  const origin = `auth.json (${file})`;
  const exact = [...auths].flatMap(([key, entry]): Credential[] => {
    if (key !== registry && !key.startsWith(`${registry}/`)) return [];
    return [{ ...entry, path: key.slice(registry.length + 1), origin }];
  });
  if (auths.has(registry)) return exact;
  const other = [...auths].find(([key]) => isOldSpelling(key, registry));
  return other ? [...exact, { ...other[1], origin }] : exact;
}

/** One entry that cannot be decoded counts as empty, and leaves the others alone. */
function parseLeniently(...[entry, name]: Parameters<typeof parseEntry>): ReturnType<typeof parseEntry> {
  try {
    return parseEntry(entry, name);
  } catch {
    return {};
  }
}

/** `https://host/v1/` means the host; Docker Hub has three names. */
function isOldSpelling(key: string, registry: string): boolean {
  const bare = key.replace(/^https?:\/\//, '');
  const host = bare === key ? key : bare.replace(/\/.*$/s, '');
  return hubAsOne(host) === hubAsOne(registry);
}

function hubAsOne(host: string): string {
  return host === 'docker.io' || host === 'registry-1.docker.io' ? 'index.docker.io' : host;
}
