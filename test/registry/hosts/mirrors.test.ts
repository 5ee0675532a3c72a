import { describe, expect, test } from 'vitest';
import { parseReference } from '../../../src/oci/index.ts';
import { type MirrorTable, planRequests } from '../../../src/registry/index.ts';
import { failureOf, newCertsDir, newClient, newServer, referenceAt, testImage } from '../fixtures.ts';

async function planOf(image: string, mirrors: MirrorTable, files: Readonly<Record<string, string>> = {}) {
  const certsDirs = [await newCertsDir(files)];
  return planRequests(parseReference(image), { certsDirs, mirrors });
}

async function urlsOf(image: string, mirrors: MirrorTable, files: Readonly<Record<string, string>> = {}) {
  return (await planOf(image, mirrors, files)).endpoints.map(({ url }) => url);
}

describe('mirrors in short', () => {
  test('are asked in their order, before the registry itself, and not pushed to', async () => {
    const plan = await planOf('nginx:1', { 'docker.io': ['https://a.test', 'b.test:5000/v2/hub', 'http://c.test'] });
    expect(plan).toMatchObject({ mirrorsOf: 'docker.io', directory: undefined, file: undefined });
    expect(plan.manifest).toEqual([
      'https://a.test/v2/library/nginx/manifests/1?ns=docker.io',
      'https://b.test:5000/v2/hub/v2/library/nginx/manifests/1?ns=docker.io',
      'http://c.test/v2/library/nginx/manifests/1?ns=docker.io',
      'https://registry-1.docker.io/v2/library/nginx/manifests/1',
    ]);
    expect(plan.push).toBe('https://registry-1.docker.io/v2/library/nginx/blobs/uploads/');
    expect(plan.referrers).toEqual(['https://registry-1.docker.io/v2/library/nginx/referrers/<digest>']);
  });

  test('may have what a table of hosts.toml has', async () => {
    const mirror = {
      url: 'https://a.test/v2/hub',
      capabilities: ['pull', 'resolve', 'push'],
      override_path: true,
      skip_verify: true,
      header: { 'X-Key': 'geheim' },
      dial_timeout: '300ms',
    } as const;
    const plan = await planOf('a/b', { 'docker.io': mirror });
    expect(plan.endpoints[0]).toEqual({
      url: 'https://a.test/v2/hub',
      capabilities: ['pull', 'resolve', 'push'],
      certificates: 'unverified',
      httpFallback: false,
      authorities: 0,
      clientCertificates: 0,
      headers: ['x-key'],
      dialTimeoutMs: 300,
    });
    expect(plan.push).toBe('https://a.test/v2/hub/a/b/blobs/uploads/?ns=docker.io');
  });

  test('of a registry count before the folder for all registries, which counts before those for all', async () => {
    const table = { 'a.test': 'https://mine.test', _default: ['https://any.test'] };
    const forAll = { '_default/hosts.toml': '[host."https://folder.test"]' };
    expect(await urlsOf('a.test/x', table)).toEqual(['https://mine.test/v2', 'https://a.test/v2']);
    expect(await urlsOf('b.test/x', table)).toEqual(['https://any.test/v2', 'https://b.test/v2']);
    expect(await urlsOf('a.test/x', table, forAll)).toEqual(['https://mine.test/v2', 'https://a.test/v2']);
    expect(await urlsOf('b.test/x', table, forAll)).toEqual(['https://folder.test/v2', 'https://b.test/v2']);
  });

  test('count only for registries without a folder of their own', async () => {
    const files = { 'a.test/hosts.toml': '[host."https://folder.test"]' };
    const plan = await planOf('a.test/x', { 'a.test': ['https://mine.test'] }, files);
    expect(plan.mirrorsOf).toBeUndefined();
    expect(plan.endpoints[0]!.url).toBe('https://folder.test/v2');
    expect(await urlsOf('a.test/x', { 'a.test': ['https://mine.test'] }, { 'a.test/x': '' })).toEqual([
      'https://a.test/v2',
    ]);
  });

  test('may be none, so that those for all are not asked', async () => {
    expect(await urlsOf('a.test/x', { 'a.test': [], _default: ['https://any.test'] })).toEqual(['https://a.test/v2']);
  });

  test('are what a client asks, and are never shown the credentials of the registry', async () => {
    const image = testImage(Buffer.from('layer'));
    const mirror = await newServer(({ headers }, response) => {
      if (!headers.authorization) response.setHeader('www-authenticate', 'Basic realm="mirror"');
      response.writeHead(401).end();
    });
    const upstream = await newServer(({ headers }, response) => {
      if (!headers.authorization) return response.writeHead(401, { 'www-authenticate': 'Basic realm="up"' }).end();
      response.setHeader('content-type', 'application/vnd.oci.image.manifest.v1+json');
      return response.end(image.manifest);
    });
    const { client } = newClient({
      mirrors: { [upstream.address]: [mirror.url] },
      credentials: async (registry) =>
        registry === upstream.address ? [{ username: 'a', password: 'geheim', origin: 'test' }] : [],
    });
    expect((await client.resolve(referenceAt(upstream))).host).toBe(upstream.address);
    expect(mirror.requests.length).toBeGreaterThan(0);
    expect(mirror.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  });
});

describe('mirrors that cannot be used are an error before anything is asked', () => {
  test.each<[string, unknown, string]>([
    ['no table', ['https://a.test'], 'it is no table of registries'],
    ['a URL for a registry', { 'https://a.test': [] }, 'it is not the name of a registry'],
    ['a number for a list', { 'a.test': 5 }, 'of a.test: a mirror is a URL'],
    ['a number', { 'a.test': ['https://b.test', 5] }, 'of a.test[1]: a mirror is a URL'],
    ['another scheme', { 'a.test': ['ftp://b.test'] }, 'of a.test[0]: "ftp://b.test" is not an http or https URL'],
    ['a member that does not exist', { 'a.test': [{ url: 'b.test', insecure: true }] }, 'insecure is not one of url,'],
    ['a capability', { 'a.test': [{ url: 'b.test', capabilities: ['fly'] }] }, '"fly" is not one of pull, resolve'],
    ['a relative file', { 'a.test': [{ url: 'b.test', ca: 'ca.crt' }] }, 'ca is not an absolute path'],
  ])('%s', async (_, mirrors, message) => {
    const error = await failureOf((async () => newClient({ mirrors: mirrors as MirrorTable }))());
    expect(error).toMatchObject({ code: 'ERR_LADING_HOSTS_MIRRORS', message: expect.stringContaining(message) });
  });

  test('a certificate that is not there', async () => {
    const mirrors = { 'a.test': [{ url: 'https://b.test', ca: '/nowhere/ca.crt' }] };
    const { client } = newClient({ mirrors });
    expect(await failureOf(client.resolve(parseReference('a.test/x:1')))).toMatchObject({
      code: 'ERR_LADING_HOSTS_CERTIFICATE',
    });
  });
});
