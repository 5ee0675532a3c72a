import { parse, TomlError } from 'smol-toml';
import { allCapabilities } from '../endpoint.ts';
import { type HostEntry, HostEntryReader, isTable, type Table, withoutUserInfo } from './host-entry.ts';

export interface HostsFile {
  /** In the order in which they are asked. */
  readonly mirrors: readonly HostEntry[];
  /** The upstream, asked last. */
  readonly server: HostEntry;
}

/** Why a `hosts.toml` cannot be used, with the line where that can be told. */
export class HostsFileFault extends Error {
  readonly line: number | undefined;

  constructor(message: string, line: number | undefined) {
    super(message);
    this.line = line;
  }
}

/**
 * Reads a `hosts.toml` as containerd does. Unknown members are ignored; anything else that is wrong makes the whole
 * file unusable.
 * @param directory that relative names of files refer to
 * @throws HostsFileFault
 * @see registry.md 5.2
 */
export function parseHostsFile(text: string, directory: string): HostsFile {
  const root = parseToml(text);
  const headers = tableHeaders(text);
  const lines = text.split('\n');
  const faultOf = (url: string | undefined) => (member: string, problem: string) =>
    new HostsFileFault(
      url === undefined ? problem : `${withoutUserInfo(url)}: ${problem}`,
      lineOf(member, url, { lines, headers }),
    );
  const read = (table: unknown, { url, address = url }: { url?: string; address?: string | undefined }) =>
    new HostEntryReader({ fault: faultOf(url), directory, defaultCapabilities: allCapabilities }).read(table, address);
  const { server, host: hosts = {} } = root;
  if (!isTable(hosts)) throw faultOf(undefined)('host', 'host is not a table');
  if (server !== undefined && typeof server !== 'string') throw faultOf(undefined)('server', 'server is not text');
  const entries = new Map(Object.entries(hosts).map(([url, table]) => [url, read(table, { url })]));
  const order = new Set(headers.filter(({ keys }) => keys[0] === 'host').map(({ keys }) => keys[1] ?? ''));
  const serverEntry = read(root, { address: server || undefined });
  return {
    mirrors: [...order].flatMap((url) => entries.get(url) ?? []),
    server: server ? serverEntry : { ...serverEntry, capabilities: allCapabilities },
  };
}

/** A table header: its keys and its line, counted from 1. */
interface TableHeader {
  readonly keys: readonly string[];
  readonly line: number;
}

/** Where a member of a host's entry stands (of the server's: `url` undefined), else where its table begins. */
function lineOf(
  member: string,
  url: string | undefined,
  { lines, headers }: { lines: readonly string[]; headers: readonly TableHeader[] },
): number | undefined {
  const isMine = ({ keys: [first, host] }: TableHeader) =>
    url === undefined ? first !== 'host' : first === 'host' && host === url;
  const isAssignment = (line: string) => {
    const [, ...names] = /^\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*[=.]/.exec(line) ?? [];
    return names.includes(member);
  };
  const top: TableHeader = { keys: [], line: 0 };
  const sections = [top, ...headers];
  for (const [index, section] of sections.entries()) {
    if (!isMine(section)) continue;
    if (section.keys.at(-1) === member) return section.line;
    const end = (sections[index + 1]?.line ?? lines.length + 1) - 1;
    const found = lines.slice(section.line, end).findIndex(isAssignment);
    if (found >= 0) return section.line + found + 1;
  }
  return sections.find(isMine)?.line || undefined;
}

function parseToml(text: string): Table {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    // What follows the first line quotes the file, which may hold secrets.
    throw new HostsFileFault(error.message.split('\n', 1)[0]!, error.line);
  }
}

/**
 * The headers of the document's tables. Only hosts that have one count, in the order of the first: what is written
 * inline (`host = {…}`) or dotted (`host."…".ca = …`) is not seen by containerd either.
 */
function tableHeaders(text: string): readonly TableHeader[] {
  return text.split('\n').flatMap((line, index) => {
    if (!/^\s*\[(?!\[)/.test(line)) return [];
    const keys = keysOf(line);
    return keys ? [{ keys, line: index + 1 }] : [];
  });
}

/** Undefined for a line that only looks like a table header, inside of a list. */
function keysOf(line: string): readonly string[] | undefined {
  let value: unknown;
  try {
    value = parse(line);
  } catch {
    return undefined;
  }
  const keys: string[] = [];
  for (let key: string | undefined; typeof value === 'object' && value !== null; value = (value as Table)[key]) {
    key = Object.keys(value)[0];
    if (key === undefined) break;
    keys.push(key);
  }
  return keys;
}
