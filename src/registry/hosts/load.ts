import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { maxTimerMs } from '../../lib/clock.ts';
import { errorCode, errorMessage, LadingError } from '../../lib/errors.ts';
import type { ConnectionSettings } from '../connector.ts';
import { type Endpoint, portOf, upstreamOf } from '../endpoint.ts';
import { RegistryError } from '../registry-error.ts';
import { certificateFilesIn, readCertificates } from './certificates.ts';
import { certsDirsVariable, defaultName, findHostDirectory } from './directory.ts';
import type { HostEntry } from './host-entry.ts';
import type { Mirrors } from './mirrors.ts';

/** What says where registries are asked. */
export interface HostsConfiguration {
  /** Folders with `<host>/hosts.toml`. */
  readonly certsDirs: readonly string[];
  /** For registries that have no such folder. */
  readonly mirrors: Mirrors;
}

/** Where a registry is asked on this machine. */
export interface ConfiguredEndpoints {
  /** In the order in which they are asked; never empty. */
  readonly endpoints: readonly Endpoint[];
  /** The folder that configures the registry, if there is one. */
  readonly directory: string | undefined;
  /** Its `hosts.toml`, if that was used. */
  readonly file: string | undefined;
  /** The key of its mirrors in the short form, where those were used. */
  readonly mirrorsOf: string | undefined;
  /** Why the `hosts.toml` was ignored: one sentence with file and line. */
  readonly warning: string | undefined;
}

/**
 * Reads, each time anew, where a registry is to be asked: its mirrors, then the registry itself. What names the registry
 * counts before what is for all of them, then folders before the short form.
 * @throws LadingError `ERR_LADING_HOSTS_UNREADABLE`, `ERR_LADING_HOSTS_CERTIFICATE`; RegistryError `no-such-host` for
 *   a reference without a registry
 * @see registry.md 5
 */
export async function loadEndpoints(
  registry: string,
  { certsDirs, mirrors }: HostsConfiguration,
): Promise<ConfiguredEndpoints> {
  if (registry === '') throw noRegistry();
  const directory = await readable(registry, () => findHostDirectory(registry, certsDirs));
  if (directory && !(directory.isDefault && mirrors.has(registry))) return inDirectory(registry, directory.path);
  const nowhere = { directory: undefined, file: undefined, warning: undefined };
  const mirrorsOf = [registry, defaultName].find((key) => mirrors.has(key));
  const entries = mirrorsOf === undefined ? [] : mirrors.get(mirrorsOf)!;
  const endpoints = await Promise.all(entries.map((entry) => endpointOf(registry, entry)));
  return { ...nowhere, endpoints: [...endpoints, upstreamOf(registry)], mirrorsOf };
}

function noRegistry(): RegistryError {
  return new RegistryError(
    'no-such-host',
    'The image has no registry: what its name begins with is not a host',
    { registry: '' },
    { hint: 'A host has letters, digits, dashes and dots, and no underscores.' },
  );
}

async function inDirectory(registry: string, directory: string): Promise<ConfiguredEndpoints> {
  const file = path.join(directory, 'hosts.toml');
  const text = await readable(registry, () => readIfThere(file));
  const mirrorsOf = undefined;
  let warning: string | undefined;
  if (text !== '') {
    // With a reader of TOML, which few machines need.
    const { HostsFileFault, parseHostsFile } = await import('./hosts-file.ts');
    try {
      const { mirrors, server } = parseHostsFile(text, directory);
      const endpoints = [...mirrors, server].map((entry) => endpointOf(registry, entry));
      return { endpoints: await Promise.all(endpoints), directory, file, mirrorsOf, warning };
    } catch (error) {
      if (!(error instanceof HostsFileFault)) throw error;
      const place = error.line === undefined ? file : `${file}:${error.line}`;
      warning = `${place}: ${error.message}; the file is ignored, and ${registry} is asked itself`;
    }
  }
  const certificates = await readCertificates(await readable(registry, () => certificateFilesIn(directory)));
  const upstream = upstreamOf(registry);
  const endpoint = { ...upstream, connection: { ...upstream.connection, ...certificates } };
  return { endpoints: [endpoint], directory, file: undefined, mirrorsOf, warning };
}

async function endpointOf(registry: string, entry: HostEntry): Promise<Endpoint> {
  const { address, capabilities, skipVerify, dialTimeoutMs = 0 } = entry;
  const { ca, clients } = await readCertificates({ ca: entry.ca ?? [], clients: entry.clients });
  const connection: ConnectionSettings = {
    certificates: skipVerify ? 'unverified' : 'verified',
    ca,
    clients,
    dialTimeoutMs: dialTimeoutMs > 0 ? Math.min(dialTimeoutMs, maxTimerMs) : undefined,
  };
  const headers = Object.fromEntries(
    Object.entries(entry.headers).map(([name, values]) => [name.toLowerCase(), values]),
  );
  if (!address) {
    const upstream = upstreamOf(registry);
    // Of an address of this machine no certificate is checked, whatever the file says.
    const isUnverified = upstream.connection.certificates === 'unverified';
    return {
      ...upstream,
      connection: isUnverified ? { ...connection, certificates: 'unverified' } : connection,
      headers,
    };
  }
  const common = { registry, host: address.host, path: address.path, capabilities, connection, headers };
  const hasTlsSettings = skipVerify !== undefined || entry.ca !== undefined || clients.length > 0;
  const prefersTls = address.scheme === 'http' && hasTlsSettings && portOf(address.host) !== '80';
  return { ...common, scheme: prefersTls ? 'https' : address.scheme, httpFallback: prefersTls };
}

async function readIfThere(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if (errorCode(error) === 'ENOENT') return '';
    throw error;
  }
}

async function readable<T>(registry: string, read: () => Promise<T> | T): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new LadingError(
      'ERR_LADING_HOSTS_UNREADABLE',
      `Cannot read where ${registry} is to be asked: ${errorMessage(cause)}`,
      { hint: `Make the file readable, or name other folders in ${certsDirsVariable} (an empty value: none).`, cause },
    );
  }
}
