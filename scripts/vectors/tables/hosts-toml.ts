import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { errorCode } from '../../../src/lib/errors.ts';
import { parseDigest } from '../../../src/oci/index.ts';
import { goDuration } from '../../../src/policy/index.ts';
import type { Endpoint } from '../../../src/registry/endpoint.ts';
import { findHostDirectory } from '../../../src/registry/hosts/directory.ts';
import type { HostEntry } from '../../../src/registry/hosts/host-entry.ts';
import { parseHostsFile } from '../../../src/registry/hosts/hosts-file.ts';
import { loadEndpoints } from '../../../src/registry/hosts/load.ts';
import { planRequests } from '../../../src/registry/index.ts';
import type { Check, VectorCase } from '../vector-table.ts';

const digest = parseDigest(`sha256:${'0123456789abcdef'.repeat(4)}`);

export const check: Check = async (vector) => {
  const root = mkdtempSync(join(tmpdir(), 'lading-vectors-'));
  try {
    for (const [name, text] of Object.entries(vector.files as Record<string, string>)) {
      mkdirSync(dirname(join(root, name)), { recursive: true });
      writeFileSync(join(root, name), text);
    }
    const directory = (await findHostDirectory(vector.registry, [root]))?.path;
    const configDir = directory === undefined ? undefined : relative(root, directory);
    const found = vector.expect.entries ? await entriesIn(directory!) : await planOf(vector, root);
    return { expected: normalized(vector.expect), actual: { configDir, ...found } };
  } finally {
    rmSync(root, { recursive: true });
  }
};

async function planOf({ registry, repository }: VectorCase, root: string): Promise<object> {
  const certsDirs = [root];
  try {
    const { endpoints, warning } = await loadEndpoints(registry, { certsDirs, mirrors: new Map() });
    const reference = { registry, repository };
    const byTag = await planRequests({ ...reference, tag: 'latest' }, { certsDirs });
    const byDigest = await planRequests({ ...reference, digest }, { certsDirs });
    return {
      fileDiscarded: warning !== undefined,
      hosts: endpoints.map(asVector),
      resolveTag: byTag.manifest,
      resolveDigest: byDigest.manifest,
      push: byTag.push,
    };
  } catch (error) {
    if (errorCode(error) !== 'ERR_LADING_HOSTS_CERTIFICATE') throw error;
    return { error: 'ca-unreadable' };
  }
}

function asVector({ scheme, host, path, capabilities, connection, httpFallback, headers }: Endpoint): object {
  const skipVerify = connection.certificates === 'unverified';
  return {
    scheme,
    host,
    path,
    capabilities,
    skipVerify,
    httpFallback,
    ...(hasMembers(headers) && { header: headers }),
  };
}

async function entriesIn(directory: string): Promise<object> {
  const { mirrors, server } = parseHostsFile(await readFile(join(directory, 'hosts.toml'), 'utf8'), directory);
  const named = (file: string) => file.replace(`${directory}/`, '<dir>/');
  const entries = [...mirrors, server].map((entry: HostEntry) => ({
    scheme: entry.address?.scheme,
    host: entry.address?.host,
    path: entry.address?.path ?? '',
    capabilities: entry.capabilities,
    ...(entry.ca?.length && { ca: entry.ca.map(named) }),
    ...(entry.clients.length > 0 && { client: entry.clients.map(({ cert, key }) => [named(cert), key && named(key)]) }),
    skipVerify: entry.skipVerify,
    ...(hasMembers(entry.headers) && { header: entry.headers }),
    ...(entry.dialTimeoutMs !== undefined && { dialTimeout: goDuration(entry.dialTimeoutMs) }),
  }));
  return { entries };
}

/** Capabilities have no order, and names of headers no case, once they are ready to be sent. */
function normalized(expected: VectorCase['expect']): object {
  const order = ['pull', 'resolve', 'push', 'referrers'];
  const hosts = expected.hosts?.map((host: { capabilities: string[]; header?: object }) => ({
    ...host,
    capabilities: order.filter((capability) => host.capabilities.includes(capability)),
    ...(host.header && { header: lowerCaseNames(host.header) }),
  }));
  return { ...expected, ...(hosts && { hosts }) };
}

function lowerCaseNames(headers: object): object {
  return Object.fromEntries(Object.entries(headers).map(([name, values]) => [name.toLowerCase(), values]));
}

function hasMembers(value: object): boolean {
  return Object.keys(value).length > 0;
}
