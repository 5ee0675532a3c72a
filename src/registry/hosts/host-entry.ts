import path from 'node:path';
import { parseGoDuration } from '../../lib/go-duration.ts';
import { allCapabilities, type Capability } from '../endpoint.ts';

/** An endpoint as a `hosts.toml` or a short form of it describes it; files are named, not read. */
export interface HostEntry {
  /** Undefined for a server that the file does not name: the registry itself. */
  readonly address: HostAddress | undefined;
  readonly capabilities: readonly Capability[];
  /** Undefined when the file does not say; an empty list counts as a TLS setting, as it does in containerd. */
  readonly ca: readonly string[] | undefined;
  readonly clients: readonly ClientFiles[];
  /** Undefined when the file does not say. */
  readonly skipVerify: boolean | undefined;
  /** Names as written. */
  readonly headers: Readonly<Record<string, readonly string[]>>;
  /** Zero or less: no time of its own. */
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

export type Table = Readonly<Record<string, unknown>>;

/** Makes the error for what is wrong with a member; an empty name means the whole. */
export type MakeFault = (member: string, problem: string) => Error;

export interface HostEntryReaderOptions {
  readonly fault: MakeFault;
  /** That relative names of files refer to; undefined where names must be absolute. */
  readonly directory: string | undefined;
  /** Where the table has none. */
  readonly defaultCapabilities: readonly Capability[];
}

/** Reads the members of one table of a `hosts.toml`, or of the same in another notation. @see registry.md 5.2 */
export class HostEntryReader {
  readonly #fault: MakeFault;
  readonly #directory: string | undefined;
  readonly #defaultCapabilities: readonly Capability[];

  constructor({ fault, directory, defaultCapabilities }: HostEntryReaderOptions) {
    this.#fault = fault;
    this.#directory = directory;
    this.#defaultCapabilities = defaultCapabilities;
  }

  /** @throws what `fault` makes */
  read(table: unknown, url: string | undefined): HostEntry {
    if (!isTable(table)) throw this.#fault('', 'it is not a table');
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

  #address(url: string, overridesPath: boolean): HostAddress {
    const whole = url.includes('://') ? url : `https://${url}`;
    const match = /^(https?):\/\/(?:[^/?#@]*@)?([^/?#@]+)([^?#]*)/i.exec(whole);
    if (!match || !URL.canParse(whole))
      throw this.#fault('server', `${JSON.stringify(withoutUserInfo(url))} is not an http or https URL`);
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
      throw this.#fault('capabilities', `${JSON.stringify(unknown)} is not one of ${allCapabilities.join(', ')}`);
    }
    if (words.length === 0) return this.#defaultCapabilities;
    const named = new Set(words.map((word) => word.toLowerCase()));
    return allCapabilities.filter((capability) => named.has(capability));
  }

  #clients(value: unknown): readonly ClientFiles[] {
    if (!Array.isArray(value)) {
      return this.#paths(value, 'client')?.map((cert) => ({ cert, key: undefined })) ?? [];
    }
    return value.map((item) => {
      const [cert, key, ...more] = Array.isArray(item) ? item : [item, ''];
      if (typeof cert !== 'string' || typeof key !== 'string' || more.length > 0) {
        throw this.#fault('client', 'client is neither a file nor a list of files and of [certificate, key]');
      }
      return { cert: this.#path(cert, 'client'), key: key === '' ? undefined : this.#path(key, 'client') };
    });
  }

  #requestHeaders(value: unknown): Readonly<Record<string, readonly string[]>> {
    if (value === undefined) return {};
    if (!isTable(value)) throw this.#fault('header', 'header is not a table');
    return Object.fromEntries(
      Object.entries(value).map(([name, content]) => {
        const values = typeof content === 'string' ? [content] : this.#texts(content, name);
        if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name) || values.some((text) => /[^\t\x20-\x7e\x80-\xff]/.test(text))) {
          throw this.#fault(name, `the header ${JSON.stringify(name)} cannot be sent`);
        }
        return [name, values];
      }),
    );
  }

  #duration(value: unknown): number | undefined {
    if (value === undefined || value === '') return undefined;
    const ms = typeof value === 'string' ? parseGoDuration(value) : undefined;
    if (ms === undefined) throw this.#fault('dial_timeout', 'dial_timeout is not a duration such as "30s"');
    return ms;
  }

  #flag(table: Table, name: string): boolean | undefined {
    const value = table[name];
    if (value === undefined || typeof value === 'boolean') return value;
    throw this.#fault(name, `${name} is neither true nor false`);
  }

  #paths(value: unknown, name: string): readonly string[] | undefined {
    if (value === undefined) return undefined;
    return (typeof value === 'string' ? [value] : this.#texts(value, name)).map((file) => this.#path(file, name));
  }

  #path(file: string, member: string): string {
    if (this.#directory !== undefined) return path.resolve(this.#directory, file);
    if (path.isAbsolute(file)) return file;
    throw this.#fault(member, `${member} is not an absolute path`);
  }

  #texts(value: unknown, name: string): readonly string[] {
    if (Array.isArray(value) && value.every((item) => typeof item === 'string')) return value;
    throw this.#fault(name, `${name} is not a list of texts`);
  }
}

/** A URL for messages. Who uses it as it is written in a file has no use for user and password in it. */
export function withoutUserInfo(url: string): string {
  return url.replace(/^([a-z]+:\/\/)?[^/?#]*@/i, '$1');
}

export function isTable(value: unknown): value is Table {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
