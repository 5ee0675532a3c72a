import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { parseReference } from '../../src/oci/index.ts';
import { proxiesOf } from '../../src/registry/proxy.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { startForwardProxy } from '../support/forward-proxy.ts';
import { createPrivateCa, opensslMissing, type PrivateCa } from '../support/private-ca.ts';
import {
  atLoopback,
  collect,
  descriptorOf,
  expectPullable,
  failureOf,
  newCertsDir,
  newClient,
  newServer,
  noise,
  pushImage,
  referenceAt,
  testImage,
} from './fixtures.ts';

describe('which proxy leads to a URL', () => {
  const proxyTo = (url: string, environment: Record<string, string>) => proxiesOf(environment)(new URL(url))?.href;

  test('depends on its scheme; names in lower case win', () => {
    const environment = { HTTP_PROXY: 'http://plain:1', HTTPS_PROXY: 'secure:2', https_proxy: 'http://lower:3' };
    expect(proxyTo('http://a.test/', environment)).toBe('http://plain:1/');
    expect(proxyTo('https://a.test/', environment)).toBe('http://lower:3/');
    expect(proxyTo('https://a.test/', { HTTPS_PROXY: 'secure:2' })).toBe('http://secure:2/');
    expect(proxyTo('https://a.test/', {})).toBeUndefined();
  });

  test('is none for this machine, and none of a CGI request', () => {
    const environment = { HTTP_PROXY: 'http://p:1', HTTPS_PROXY: 'http://p:1' };
    for (const host of ['localhost', '127.0.0.1:5000', '[::1]:5000']) {
      expect(proxyTo(`https://${host}/`, environment)).toBeUndefined();
    }
    expect(proxyTo('http://a.test/', { ...environment, REQUEST_METHOD: 'GET' })).toBeUndefined();
    expect(proxyTo('https://a.test/', { ...environment, REQUEST_METHOD: 'GET' })).toBe('http://p:1/');
  });

  test.each([
    ['*', 'https://a.test/', true],
    ['a.test', 'https://a.test/', true],
    ['a.test', 'https://x.a.test/', true],
    ['a.test', 'https://xa.test/', false],
    ['.a.test', 'https://x.a.test/', true],
    ['.a.test', 'https://a.test/', false],
    ['*.a.test', 'https://x.a.test/', true],
    ['A.Test', 'https://a.test/', true],
    ['b.test, a.test', 'https://a.test/', true],
    ['a.test:443', 'https://a.test/', true],
    ['a.test:5000', 'https://a.test/', false],
    ['a.test:80', 'http://a.test/', true],
    ['10.0.0.0/8', 'https://10.1.2.3/', true],
    ['10.0.0.0/8', 'https://11.1.2.3/', false],
    ['10.1.2.3', 'https://10.1.2.3:5000/', true],
    ['10.1.2.3:5000', 'https://10.1.2.3/', false],
    ['fd00::/8', 'https://[fd12::1]/', true],
    ['fd12::1', 'https://[fd12::1]:5000/', true],
    ['[fd12::1]:5000', 'https://[fd12::1]:5000/', true],
    ['10.0.0.0/99', 'https://10.1.2.3/', false],
    ['0.0.0.0/0', 'https://a.test/', false],
  ])('NO_PROXY=%s and %s', (noProxy, url, excluded) => {
    const proxy = proxyTo(url, { NO_PROXY: noProxy, HTTP_PROXY: 'http://p:1', HTTPS_PROXY: 'http://p:1' });
    expect(proxy === undefined).toBe(excluded);
  });
});

test('SOCKS 5 is used without a word on stderr', async () => {
  const blob = noise(10_000);
  const registry = await newServer((_, response) => response.end(blob));
  const proxy = await startForwardProxy({ names: { 'plain.test:80': registry.address } });
  const certsDir = await newCertsDir({ 'plain.test/hosts.toml': 'server = "http://plain.test"\n' });
  const { client } = newClient({
    certsDirs: [certsDir],
    environment: { HTTP_PROXY: `socks5://${proxy.socksAddress}` },
  });
  const { emitWarning } = process;
  const warnings: string[] = [];
  const note = ({ message }: Error) => warnings.push(message);
  process.on('warning', note);
  onTestFinished(() => void process.off('warning', note));
  const { body } = await client.fetchBlob(parseReference('plain.test/a/b'), descriptorOf(blob));
  expect((await collect(body)).equals(blob)).toBe(true);
  expect(proxy.log).toEqual(['socks plain.test:80']);
  await setImmediate();
  expect(warnings).toEqual([]);
  expect(process.emitWarning).toBe(emitWarning);
});

const missing = dockerRegistryMissing ?? opensslMissing;

describe.skipIf(missing)(`a docker-registry behind a proxy (${missing ?? 'installed'})`, () => {
  const image = testImage(noise(300_000));
  let authority: PrivateCa;
  let registry: DockerRegistry;
  beforeAll(async () => {
    authority = await createPrivateCa();
    registry = await startDockerRegistry({ tls: authority });
  });
  afterAll(async () => {
    await registry?.close();
    await authority?.remove();
  });
  const names = () => ({ [`registry.test:${registry.port}`]: registry.address });
  const reference = () => parseReference(`registry.test:${registry.port}/team/app:1.0`);
  const prepare = () => pushImage(newClient().client, image, referenceAt(registry, 'team/app:1.0'));

  test.each(['connect', 'socks'])('is reached by %s only, with its certificate verified', async (kind) => {
    await prepare();
    const proxy = await startForwardProxy({ names: names(), credentials: 'us er:p@ss' });
    const address = kind === 'socks' ? proxy.socksAddress : proxy.address;
    const uri = `${kind === 'socks' ? 'socks5' : 'http'}://us%20er:p%40ss@${address}`;
    const { client } = newClient({ environment: { HTTPS_PROXY: uri }, tls: { ca: authority.ca } });
    await expectPullable(client, image, reference());
    expect(new Set(proxy.log)).toEqual(new Set([`${kind} registry.test:${registry.port}`]));
    const strict = newClient({ environment: { HTTPS_PROXY: uri } });
    expect((await failureOf(strict.client.resolve(reference()))).data.kind).toBe('tls');
  });

  test('is reached directly where NO_PROXY says so', async () => {
    await prepare();
    const environment = { HTTPS_PROXY: 'http://127.0.0.1:1', NO_PROXY: 'registry.test' };
    await expectPullable(
      newClient({ environment, tls: { ca: authority.ca }, lookup: atLoopback }).client,
      image,
      reference(),
    );
  });
});

describe('plain http', () => {
  test('goes through the proxy without a tunnel, and a redirect looks for its own way', async () => {
    const blob = noise(10_000);
    const storage = await newServer((_, response) => response.end(blob));
    const registry = await newServer((_, response) =>
      response.writeHead(307, { location: `http://storage.test:${storage.port}/blob` }).end(),
    );
    const proxy = await startForwardProxy({ names: { 'plain.test:80': registry.address } });
    const certsDir = await newCertsDir({ 'plain.test/hosts.toml': 'server = "http://plain.test"\n' });
    const { client } = newClient({
      certsDirs: [certsDir],
      environment: { HTTP_PROXY: `http://${proxy.address}`, NO_PROXY: 'storage.test' },
      lookup: atLoopback,
    });
    const { body } = await client.fetchBlob(parseReference('plain.test/a/b'), descriptorOf(blob));
    expect((await collect(body)).equals(blob)).toBe(true);
    expect(proxy.log).toEqual(['http plain.test']);
    expect(registry.requests[0]!.headers.host).toBe('plain.test');
    expect(storage.requests).toHaveLength(1);
  });
});

describe('a proxy that does not help', () => {
  const attempt = async (proxy: string) => {
    const { client } = newClient({ environment: { HTTPS_PROXY: proxy }, retry: { attempts: 1 } });
    return failureOf(client.resolve(parseReference('registry.test/a/b')));
  };

  test('because it is not there: the error names it, without its password', async () => {
    const proxy = await startForwardProxy({ names: {} });
    await proxy.stop();
    const error = await attempt(`http://user:geheim@${proxy.address}`);
    expect(error.data).toMatchObject({ kind: 'refused', unreachable: true });
    expect(error.message).toContain(`through the proxy http://${proxy.address}: it refused the connection`);
    expect(error.hint).toMatch(/^Check that the proxy runs/);
    expect(error.message).not.toContain('geheim');
  });

  test('for now: it is asked again, until it refuses for good', async () => {
    const answers = ['HTTP/1.1 503 Later\r\n\r\n', '', 'HTTP/1.1 403 No\r\n\r\n'];
    const proxy = createServer((socket) =>
      socket.on('error', () => {}).once('data', () => socket.end(answers.shift() ?? '')),
    );
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    onTestFinished(() => void proxy.close());
    const { port } = proxy.address() as AddressInfo;
    const { client, clock } = newClient({ environment: { HTTPS_PROXY: `http://127.0.0.1:${port}` } });
    const error = await failureOf(client.resolve(parseReference('registry.test/a/b')));
    expect(error.message).toContain('(403)');
    expect([answers, clock.slept]).toEqual([[], [500, 1000]]);
  });

  test('because it wants a login, or knows no such host', async () => {
    const locked = await startForwardProxy({ names: {}, credentials: 'a:b' });
    const refused = await attempt(`http://${locked.address}`);
    expect(refused.data).toMatchObject({ kind: 'refused', unreachable: true });
    expect(refused.message).toMatch(/through the proxy .*: it refused to connect \(.*407.*\)/);
    const ignorant = await startForwardProxy({ names: {} });
    expect((await attempt(`http://${ignorant.address}`)).message).toMatch(/it refused to connect \(.*502.*\)/);
    for (const uri of [`socks5://a:wrong@${locked.socksAddress}`, `socks5://${ignorant.socksAddress}`]) {
      const error = await attempt(uri);
      expect(error.data).toMatchObject({ kind: 'refused', unreachable: true });
      expect(error.message).toMatch(/through the proxy socks5:\/\/127\.0\.0\.1:\d+: it refused to connect \(.+\)$/);
    }
  });
});
