import { statSync } from 'node:fs';
import path from 'node:path';
import { errorCode } from '../../lib/errors.ts';
import { homeFolder } from '../../lib/home-folder.ts';

/** Names the folders with `<host>/hosts.toml`, separated by colons; an empty value means none. */
export const certsDirsVariable = 'LADING_CERTS_D';

/** Stands for all registries that are not named. */
export const defaultName = '_default';

/**
 * Where endpoints are configured: Lading's own folder first, so that it can say something else than containerd's.
 * @param uid effective user id; undefined on systems that have none
 */
export function defaultCertsDirs(
  environment: NodeJS.ProcessEnv = process.env,
  uid: number | undefined = process.geteuid?.(),
): readonly string[] {
  const given = environment[certsDirsVariable];
  if (given !== undefined) return given.split(':').filter((folder) => folder !== '');
  const { XDG_CONFIG_HOME: xdg = '' } = environment;
  const home = path.isAbsolute(xdg) ? xdg : path.join(homeFolder(environment), '.config');
  return [path.join(uid === 0 ? '/etc' : home, 'lading', 'certs.d'), '/etc/containerd/certs.d'];
}

export interface HostDirectory {
  readonly path: string;
  /** It is the one for registries without a folder of their own. */
  readonly isDefault: boolean;
}

/**
 * The folder that configures a registry; undefined when there is none. The first one that exists ends the search, even
 * if it is empty.
 * @see registry.md 5.1
 */
export function findHostDirectory(registry: string, certsDirs: readonly string[]): HostDirectory | undefined {
  for (const root of certsDirs) {
    for (const name of directoryNames(registry)) {
      const directory = path.join(root, name);
      if (isDirectory(directory)) return { path: directory, isDefault: name === defaultName };
    }
  }
  return undefined;
}

/** `host_5000_` for file systems without colons, then the name itself. What follows the last colon counts as the port. */
function directoryNames(registry: string): readonly string[] {
  const colon = registry.lastIndexOf(':');
  const withoutColon = colon > 0 ? [`${registry.slice(0, colon)}_${registry.slice(colon + 1)}_`] : [];
  return [...withoutColon, registry, defaultName];
}

/** At once: for each request six names are looked for, which took 45 µs of the processor each on other threads. */
function isDirectory(directory: string): boolean {
  try {
    return statSync(directory, { throwIfNoEntry: false })?.isDirectory() ?? false;
  } catch (error) {
    if (errorCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}
