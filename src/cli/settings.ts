import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

export interface Settings {
  /** The directory that is the node. Absolute. */
  readonly root: string;
}

export interface SettingsInput {
  /** `--root`. */
  readonly root?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Effective user id; undefined on systems that have none. */
  readonly uid: number | undefined;
}

/** Name of the environment variable for `--root`. */
export const rootVariable = 'LADING_ROOT';

/** A flag wins over the environment, that over the default. An empty value counts as not given. */
export function resolveSettings({ root, env, uid }: SettingsInput): Settings {
  return { root: resolve(root || env[rootVariable] || defaultRoot(env, uid)) };
}

/** @see https://specifications.freedesktop.org/basedir-spec/latest/ : relative paths in its variables are ignored */
function defaultRoot(env: SettingsInput['env'], uid: number | undefined): string {
  if (uid === 0) return '/var/lib/lading';
  const data = env.XDG_DATA_HOME;
  return join(data && isAbsolute(data) ? data : join(env.HOME || homedir(), '.local', 'share'), 'lading');
}
