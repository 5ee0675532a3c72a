import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { createServer } from 'node:http';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parseReference } from '../../../src/oci/index.ts';
import { loadEndpoints } from '../../../src/registry/hosts/load.ts';
import type { RegistryWarning } from '../../../src/registry/index.ts';
import { createPrivateCa, opensslMissing, type PrivateCa } from '../../support/private-ca.ts';
import { failureOf, newCertsDir, newClient, newServer, referenceAt } from '../fixtures.ts';

describe('a hosts.toml that cannot be used', () => {
  test('is ignored with a warning that names its line, once, and the registry itself is asked', async () => {
    const server = await newServer((_, response) => response.writeHead(404).end());
    const certsDir = await newCertsDir({ '_default/hosts.toml': 'server = "https://s.test"\nca = 5\n' });
    const warnings: RegistryWarning[] = [];
    const { client } = newClient({ certsDirs: [certsDir], onWarning: (warning) => warnings.push(warning) });
    await failureOf(client.resolve(referenceAt(server)));
    await failureOf(client.resolve(referenceAt(server)));
    expect(warnings).toEqual([
      {
        registry: server.address,
        text: `${certsDir}/_default/hosts.toml:2: ca is not a list of texts; the file is ignored, and ${server.address} is asked itself`,
      },
    ]);
  });

  test('or not even be read is an error before any request', async () => {
    const certsDir = await newCertsDir({});
    await mkdir(path.join(certsDir, '_default', 'hosts.toml'), { recursive: true });
    const { client, records } = newClient({ certsDirs: [certsDir] });
    const error = await failureOf(client.resolve({ registry: 'a.test', repository: 'b', tag: '1' }));
    expect(error.code).toBe('ERR_LADING_HOSTS_UNREADABLE');
    expect(error.hint).toContain('LADING_CERTS_D');
    expect(records).toHaveLength(0);
  });
});

describe.skipIf(opensslMissing)('certificates', () => {
  let authority: PrivateCa;
  beforeAll(async () => {
    authority = await createPrivateCa();
  });
  afterAll(() => authority?.remove());

  test.each([
    ['ca = "missing.pem"', 'missing.pem as the certificate of an authority'],
    ['ca = "not.pem"', 'not.pem as the certificate of an authority'],
    ['client = "not.pem"', 'not.pem as a client certificate'],
    ['client = [["good.cert", "not.pem"]]', 'good.cert as a client certificate with the key in'],
  ])('%s is an error before any request', async (line, message) => {
    const certsDir = await newCertsDir({
      '_default/hosts.toml': `server = "https://s.test"\n${line}\n`,
      '_default/not.pem': 'no certificate',
      '_default/good.cert': authority.cert,
    });
    const error = await failureOf(loadEndpoints('a.test', { certsDirs: [certsDir], mirrors: new Map() }));
    expect(error.code).toBe('ERR_LADING_HOSTS_CERTIFICATE');
    expect(error.message).toContain(message);
  });

  test('are found by docker’s names where there is no hosts.toml', async () => {
    const certsDir = await newCertsDir({
      'a.test/ca.crt': authority.ca,
      'a.test/one.cert': authority.cert,
      'a.test/one.key': authority.key,
      'a.test/two.cert': Buffer.concat([authority.cert, authority.key]),
      'a.test/lonely.key': 'ignored',
      'b.test/hosts.toml': '',
      'b.test/ca.crt': authority.ca,
    });
    const { endpoints } = await loadEndpoints('a.test', { certsDirs: [certsDir], mirrors: new Map() });
    expect(endpoints).toHaveLength(1);
    const { ca, clients } = endpoints[0]!.connection;
    expect(ca).toEqual([authority.ca.toString()]);
    expect(clients.map(({ cert, key }) => [cert.includes(key), key.includes('PRIVATE KEY')])).toEqual([
      [false, true],
      [true, true],
    ]);
    expect(
      (await loadEndpoints('b.test', { certsDirs: [certsDir], mirrors: new Map() })).endpoints[0]!.connection.ca,
    ).toHaveLength(1);
  });

  test('belong to their own table, and those of the file to the server', async () => {
    const certsDir = await newCertsDir({
      'a.test/hosts.toml':
        'ca = "ca.pem"\n[host."https://m.test"]\ndial_timeout = "300ms"\n[host."https://n.test"]\nskip_verify = true\n',
      'a.test/ca.pem': authority.ca,
    });
    const { endpoints } = await loadEndpoints('a.test', { certsDirs: [certsDir], mirrors: new Map() });
    expect(
      endpoints.map(({ host, connection: { ca, certificates, dialTimeoutMs } }) => [
        host,
        ca.length,
        certificates,
        dialTimeoutMs,
      ]),
    ).toEqual([
      ['m.test', 0, 'verified', 300],
      ['n.test', 0, 'unverified', undefined],
      ['a.test', 1, 'verified', undefined],
    ]);
  });
});

test('a dial timeout beyond what a timer can count is no short one', async () => {
  const certsDir = await newCertsDir({ 'a.test/hosts.toml': 'server = "https://b.test"\ndial_timeout = "1000h"\n' });
  const { endpoints } = await loadEndpoints('a.test', { certsDirs: [certsDir], mirrors: new Map() });
  expect(endpoints[0]!.connection.dialTimeoutMs).toBe(2 ** 31 - 1);
});

test('an http host with TLS settings is asked over https first, unless its port is 80', async () => {
  const schemes = async (host: string, setting: string) => {
    const certsDir = await newCertsDir({ 'a.test/hosts.toml': `[host."http://${host}"]\n${setting}\n` });
    const [mirror] = (await loadEndpoints('a.test', { certsDirs: [certsDir], mirrors: new Map() })).endpoints;
    return [mirror!.scheme, mirror!.httpFallback];
  };
  expect(await schemes('m.test:5000', '')).toEqual(['http', false]);
  expect(await schemes('m.test:5000', 'skip_verify = false')).toEqual(['https', true]);
  expect(await schemes('m.test', 'skip_verify = true')).toEqual(['https', true]);
  expect(await schemes('m.test', 'ca = []')).toEqual(['https', true]);
  expect(await schemes('m.test:80', 'ca = []')).toEqual(['http', false]);
});

test.skipIf(lowestPort() > 80)('without a port in its URL, http is tried where nothing answers for https', async () => {
  // Nothing listens at port 443 of this address of the loopback network, and this server at port 80.
  const host = '127.80.44.3';
  const server = createServer((_, response) => response.writeHead(404).end()).listen(80, host);
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const certsDir = await newCertsDir({ 'a.test/hosts.toml': `server = "http://${host}"\nskip_verify = true\n` });
  const { client, records } = newClient({ certsDirs: [certsDir] });
  const error = await failureOf(client.resolve(parseReference('a.test/x:1')));
  expect(error.code).toBe('ERR_LADING_REGISTRY_NOT_FOUND');
  expect(records.map(({ method, status }) => [method, status])).toEqual([
    ['HEAD', 404],
    ['GET', 404],
  ]);
});

test('of an address of this machine no certificate is checked, unless it is configured as a server', async () => {
  const certificatesOf = async (text: string) => {
    const certsDir = await newCertsDir({ 'localhost_5000_/hosts.toml': text });
    const { endpoints } = await loadEndpoints('localhost:5000', { certsDirs: [certsDir], mirrors: new Map() });
    return endpoints.at(-1)!.connection.certificates;
  };
  expect(await certificatesOf('skip_verify = false')).toBe('unverified');
  expect(await certificatesOf('server = "https://localhost:5000"')).toBe('verified');
});

/** The lowest port that this user may listen at. */
function lowestPort(): number {
  return process.getuid?.() === 0 ? 0 : Number(readFileSync('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8'));
}
