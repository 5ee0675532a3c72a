import { LadingError } from '../../lib/errors.ts';
import type { Capability } from '../endpoint.ts';
import { defaultName } from './directory.ts';
import { type HostEntry, HostEntryReader, isTable } from './host-entry.ts';

/** A mirror with the members of a `[host."URL"]` table of a `hosts.toml`. */
export interface Mirror {
  readonly url: string;
  /** Default `pull` and `resolve`: other than there, nothing is pushed to a mirror unless it says so. */
  readonly capabilities?: readonly Capability[];
  /** The URL's path is the root of the API; otherwise `/v2` follows it. */
  readonly override_path?: boolean;
  readonly skip_verify?: boolean;
  /** Absolute names of PEM files, to trust beside the system's. */
  readonly ca?: string | readonly string[];
  /** Absolute names of PEM files with certificate and key, or pairs of `[certificate, key]`. */
  readonly client?: string | readonly (string | readonly [string, string])[];
  readonly header?: Readonly<Record<string, string | readonly string[]>>;
  /** `300ms`, `30s`. */
  readonly dial_timeout?: string;
}

/**
 * Mirrors in short: those of each registry in the order in which they are asked, before the registry itself; `_default`
 * has those of all other registries.
 */
export type MirrorTable = Readonly<Record<string, string | Mirror | readonly (string | Mirror)[]>>;

export type Mirrors = ReadonlyMap<string, readonly HostEntry[]>;

const defaultCapabilities: readonly Capability[] = ['pull', 'resolve'];
const members = ['capabilities', 'override_path', 'skip_verify', 'ca', 'client', 'header', 'dial_timeout'];

/**
 * @param table a `MirrorTable`, if all is well: it may come from a file
 * @throws LadingError `ERR_LADING_HOSTS_MIRRORS`
 */
export function parseMirrors(table: unknown): Mirrors {
  if (!isTable(table)) throw invalid('', 'it is no table of registries');
  return new Map(
    Object.entries(table).map(([registry, list]) => {
      if (!isRegistry(registry)) throw invalid(registry, 'it is not the name of a registry (HOST or HOST:PORT)');
      if (!Array.isArray(list)) return [registry, [mirrorIn(list, registry)]];
      return [registry, list.map((item, index) => mirrorIn(item, `${registry}[${index}]`))];
    }),
  );
}

function mirrorIn(item: unknown, place: string): HostEntry {
  const { url, ...table } = typeof item === 'string' ? { url: item } : isTable(item) ? item : {};
  if (typeof url !== 'string') throw invalid(place, 'a mirror is a URL, or a table with a url');
  const unknown = Object.keys(table).find((name) => !members.includes(name));
  if (unknown !== undefined) throw invalid(place, `${unknown} is not one of url, ${members.join(', ')}`);
  const fault = (_: string, problem: string) => invalid(place, problem);
  return new HostEntryReader({ fault, directory: undefined, defaultCapabilities }).read(table, url);
}

function isRegistry(name: string): boolean {
  return name === defaultName || /^[a-z0-9.-]+(?::\d+)?$|^\[[0-9a-f:]+\](?::\d+)?$/i.test(name);
}

function invalid(place: string, problem: string): LadingError {
  return new LadingError('ERR_LADING_HOSTS_MIRRORS', `Cannot use the mirrors${place && ` of ${place}`}: ${problem}`, {
    hint: 'For example docker.io: [https://mirror.example.com], or a table with url, capabilities, ca, … as in hosts.toml.',
  });
}
