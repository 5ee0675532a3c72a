import { describe, expect, test } from 'vitest';
import type { Credential } from '../../src/registry/index.ts';
import { cutBody, type HostileServer } from '../support/hostile-server.ts';
import { collect, descriptorOf, newClient, newServer, noise, referenceAt } from './fixtures.ts';

const layer = noise(200_000);
const foreignType = 'application/vnd.docker.image.rootfs.foreign.diff.tar.gzip';
const descriptorAt = (mediaType: string, ...urls: readonly string[]) => ({ ...descriptorOf(layer, mediaType), urls });
const credential: Credential = { username: 'alice', password: 'geheim', origin: 'a secret' };

/** A registry that wants a login. */
const newRegistry = () =>
  newServer(({ headers }, response) => {
    if (headers.authorization === undefined) {
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="tests"' }).end();
    }
    const offset = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    const range = { 'content-range': `bytes ${offset}-${layer.length - 1}/${layer.length}` };
    return response.writeHead(offset > 0 ? 206 : 200, offset > 0 ? range : {}).end(layer.subarray(offset));
  });

describe('a foreign layer', () => {
  test.each([foreignType, 'application/vnd.oci.image.layer.nondistributable.v1.tar+zstd'])(
    '(%s) is taken from its URLs first, without a credential',
    async (type) => {
      const registry = await newRegistry();
      const gone = await newServer((_, response) => response.writeHead(404).end());
      const elsewhere = await newServer((_, response) => response.end(layer));
      const { client } = newClient({ internalUrls: 'allowed', credentials: async () => [credential] });
      const descriptor = descriptorAt(type, `${gone.url}/one`, `${elsewhere.url}/two?signed=1`);
      const { body } = await client.fetchBlob(referenceAt(registry), descriptor);
      expect((await collect(body)).equals(layer)).toBe(true);
      expect([gone.log, elsewhere.log, registry.log]).toEqual([['GET /one'], ['GET /two?signed=1'], []]);
      for (const { requests } of [gone, elsewhere]) expect(requests[0]!.headers).not.toHaveProperty('authorization');
    },
  );

  test('goes on at the registry where the URL ends early', async () => {
    const registry = await newRegistry();
    const elsewhere = await newServer((_, response) => cutBody(response, layer, { count: 50_000 }));
    const { client } = newClient({ internalUrls: 'allowed', credentials: async () => [credential] });
    const { body } = await client.fetchBlob(referenceAt(registry), descriptorAt(foreignType, elsewhere.url));
    expect((await collect(body)).equals(layer)).toBe(true);
    expect(registry.requests.at(-1)!.headers.range).toBe('bytes=50000-');
  });
});

describe('URLs are not used', () => {
  const fromRegistryOnly = async (
    registry: HostileServer,
    descriptor: ReturnType<typeof descriptorAt>,
    allowed: boolean,
  ) => {
    const { client, records } = newClient({
      credentials: async () => [credential],
      ...(allowed && { internalUrls: 'allowed' as const }),
    });
    const { body } = await client.fetchBlob(referenceAt(registry), descriptor);
    await collect(body);
    expect(new Set(records.map(({ host }) => host))).toEqual(new Set([registry.address]));
  };

  test('of other layers', async () => {
    const registry = await newRegistry();
    await fromRegistryOnly(
      registry,
      descriptorAt('application/vnd.oci.image.layer.v1.tar+gzip', 'http://127.0.0.1:1/'),
      true,
    );
  });

  test.each([
    'http://127.0.0.1:1/',
    'http://localhost:1/',
    'http://169.254.169.254/latest/meta-data',
    'http://10.0.0.1/',
    'http://[::1]:1/',
    'file:///etc/passwd',
    'http://user:password@example.test/',
    'nonsense',
  ])('with addresses inside of networks, or that are none: %s', async (url) => {
    const registry = await newRegistry();
    await fromRegistryOnly(registry, descriptorAt(foreignType, url), false);
  });
});
