import path from 'node:path';
import { parse, TomlError } from 'smol-toml';
import { parseGoDuration } from '../../lib/go-duration.ts';
import { allCapabilities, type Capability } from '../endpoint.ts';

/** An endpoint as a `hosts.toml` describes it; files are named, not read. */
export interface HostEntry {
  /** Undefined for a server that the file does not name: the registry itself. */
  readonly address: HostAddress | undefined;
  readonly capabilities: readonly Capability[];
  readonly ca: readonly string[];
  readonly clients: readonly ClientFiles[];
  /** Undefined when the file does not say. */
  readonly skipVerify: boolean | undefined;
  /** Names as written. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly dialTimeoutMs: number | undefined;
}

export interface HostAddress {
  readonly scheme: 'https' | 'http';
  readonly host: string;
  /** Root of the API, without a trailing slash. */
  readonly path: string;
}

export interface ClientFiles {
  readonly cert: string;
  /** Undefined: the key stands in the same file. */
  readonly key: string | undefined;
}

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

type Table = Readonly<Record<string, unknown>>;

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
  const reader = (url: string | undefined) => new EntryReader(text, headers, url, directory);
  const { server, host: hosts = {} } = root;
  if (!isTable(hosts)) throw reader(undefined).fault('host', 'host is not a table');
  if (server !== undefined && typeof server !== 'string') throw reader(undefined).fault('server', 'server is not text');
  const entries = new Map(Object.entries(hosts).map(([url, table]) => [url, reader(url).read(table, url)]));
  const order = new Set(headers.filter(({ keys }) => keys[0] === 'host').map(({ keys }) => keys[1] ?? ''));
  const serverEntry = reader(undefined).read(root, server || undefined);
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

/** Reads the members of one table. */
class EntryReader {
  readonly #lines: readonly string[];
  readonly #headers: readonly TableHeader[];
  readonly #url: string | undefined;
  readonly #directory: string;

  constructor(text: string, headers: readonly TableHeader[], url: string | undefined, directory: string) {
    this.#lines = text.split('\n');
    this.#headers = headers;
    this.#url = url;
    this.#directory = directory;
  }

  read(table: unknown, url: string | undefined): HostEntry {
    if (!isTable(table)) throw this.fault('', 'it is not a table');
    const overridesPath = this.#flag(table, 'override_path') === true;
    return {
      address: url === undefined ? undefined : this.#address(url, overridesPath),
      capabilities: this.#capabilities(table.capabilities),
      ca: this.#paths(table.ca, 'ca'),
      clients: this.#clients(table.client),
      skipVerify: this.#flag(table, 'skip_verify'),
      headers: this.#requestHeaders(table.header),
      dialTimeoutMs: this.#duration(table.dial_timeout),
    };
  }

  fault(member: string, problem: string): HostsFileFault {
    return new HostsFileFault(this.#url === undefined ? problem : `${this.#url}: ${problem}`, this.#lineOf(member));
  }

  #address(url: string, overridesPath: boolean): HostAddress {
    const whole = url.includes('://') ? url : `https://${url}`;
    const match = /^(https?):\/\/(?:[^/?#@]*@)?([^/?#@]+)([^?#]*)/i.exec(whole);
    if (!match || !URL.canParse(whole))
      throw this.fault('server', `${JSON.stringify(url)} is not an http or https URL`);
    const [, scheme = '', host = '', written = ''] = match;
    const root = path.posix.normalize(`/${written}`).replace(/\/$/, '');
    return {
      scheme: scheme.toLowerCase() === 'http' ? 'http' : 'https',
      host,
      path: overridesPath || root.endsWith('/v2') ? root : `${root}/v2`,
    };
  }

  #capabilities(value: unknown): readonly Capability[] {
    const words = value === undefined ? [] : this.#texts(value, 'capabilities');
    const unknown = words.find((word) => !(allCapabilities as readonly string[]).includes(word.toLowerCase()));
    if (unknown !== undefined) {
      throw this.fault('capabilities', `${JSON.stringify(unknown)} is not one of ${allCapabilities.join(', ')}`);
    }
    if (words.length === 0) return allCapabilities;
    const named = new Set(words.map((word) => word.toLowerCase()));
    return allCapabilities.filter((capability) => named.has(capability));
  }

  #clients(value: unknown): readonly ClientFiles[] {
    if (value === undefined) return [];
    if (!Array.isArray(value) || value.every((item) => typeof item === 'string')) {
      return this.#paths(value, 'client').map((cert) => ({ cert, key: undefined }));
    }
    return value.map((item) => {
      const [cert, key, ...more] = Array.isArray(item) ? item : [];
      if (typeof cert !== 'string' || typeof key !== 'string' || more.length > 0) {
        throw this.fault('client', 'client is neither a file, nor a list of files, nor a list of [certificate, key]');
      }
      return { cert: this.#path(cert), key: key === '' ? undefined : this.#path(key) };
    });
  }

  #requestHeaders(value: unknown): Readonly<Record<string, readonly string[]>> {
    if (value === undefined) return {};
    if (!isTable(value)) throw this.fault('header', 'header is not a table');
    return Object.fromEntries(
      Object.entries(value).map(([name, content]) => {
        const values = typeof content === 'string' ? [content] : this.#texts(content, name);
        if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || values.some((text) => /[^\t\x20-\x7e\x80-\xff]/.test(text))) {
          throw this.fault(name, `the header ${JSON.stringify(name)} cannot be sent`);
        }
        return [name, values];
      }),
    );
  }

  #duration(value: unknown): number | undefined {
    if (value === undefined || value === '') return undefined;
    const ms = typeof value === 'string' ? parseGoDuration(value) : undefined;
    if (ms === undefined || ms < 0) throw this.fault('dial_timeout', 'dial_timeout is not a duration such as "30s"');
    return ms === 0 ? undefined : ms;
  }

  #flag(table: Table, name: string): boolean | undefined {
    const value = table[name];
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.fault(name, `${name} is neither true nor false`);
  }

  #paths(value: unknown, name: string): readonly string[] {
    if (value === undefined) return [];
    return (typeof value === 'string' ? [value] : this.#texts(value, name)).map((file) => this.#path(file));
  }

  #path(file: string): string {
    return path.resolve(this.#directory, file);
  }

  #texts(value: unknown, name: string): readonly string[] {
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
    throw this.fault(name, `${name} is not a list of texts`);
  }

  /** Where a member of this entry stands, else where its table begins. */
  #lineOf(member: string): number | undefined {
    const isMine = ({ keys: [first, url] }: TableHeader) =>
      this.#url === undefined ? first !== 'host' : first === 'host' && url === this.#url;
    const isAssignment = (line: string) => {
      const [, ...names] = /^\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*[=.]/.exec(line) ?? [];
      return names.includes(member);
    };
    const top: TableHeader = { keys: [], line: 0 };
    const sections = [top, ...this.#headers];
    for (const [index, section] of sections.entries()) {
      if (!isMine(section)) continue;
      if (section.keys.at(-1) === member) return section.line;
      const end = (sections[index + 1]?.line ?? this.#lines.length + 1) - 1;
      const found = this.#lines.slice(section.line, end).findIndex(isAssignment);
      if (found >= 0) return section.line + found + 1;
    }
    return sections.find(isMine)?.line || undefined;
  }
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

function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
