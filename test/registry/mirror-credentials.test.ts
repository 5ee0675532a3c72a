import { describe, expect, onTestFinished, test } from 'vitest';
import type { Reference } from '../../src/oci/index.ts';
import type { Credential } from '../../src/registry/index.ts';
import type { Answer, HostileServer } from '../support/hostile-server.ts';
import { startTokenServer } from '../support/token-server.ts';
import { newCertsDir, newClient, newServer, referenceAt, type TestClient, testImage } from './fixtures.ts';

const image = testImage();
const pullSecret: Credential = { username: 'tenant', password: 'geheim', origin: 'the pull secret' };

const describedImage = (): Record<string, string> => ({
  'content-type': image.descriptor.mediaType,
  'content-length': String(image.descriptor.size),
  'docker-content-digest': image.descriptor.digest,
});
/** Wants this user by Basic. */
const wants =
  (user: string): Answer =>
  ({ headers }, response) => {
    const pair = Buffer.from((headers.authorization ?? '').slice('Basic '.length), 'base64').toString();
    if (pair.startsWith(`${user}:`)) return response.writeHead(200, describedImage()).end();
    return response.writeHead(401, { 'www-authenticate': 'Basic realm="tests"' }).end();
  };

interface Setup extends TestClient {
  readonly upstream: HostileServer;
  readonly mirror: HostileServer;
  readonly reference: Reference;
  readonly asked: string[];
}

/** @param known what the client's source has, by host */
async function setUp(
  mirrorAnswer: Answer,
  known: Readonly<Record<string, readonly Credential[]>> = {},
): Promise<Setup> {
  const upstream = await newServer(wants('tenant'));
  const mirror = await newServer(mirrorAnswer);
  const certsDir = await newCertsDir({ '_default/hosts.toml': `[host."${mirror.url}"]\n` });
  const asked: string[] = [];
  const credentials = async (registry: string) => {
    asked.push(registry);
    return known[registry === mirror.address ? 'mirror' : 'upstream'] ?? [];
  };
  const client = newClient({ certsDirs: [certsDir], credentials });
  return { ...client, upstream, mirror, reference: referenceAt(upstream), asked };
}

const authorizationsOf = (server: HostileServer) => server.requests.map(({ headers }) => headers.authorization);

describe('a mirror that wants a login', () => {
  test('is never shown the credentials of a pull, and the registry answers instead', async () => {
    const { client, mirror, upstream, reference, asked } = await setUp(wants('mirror-user'));
    const resolved = await client.resolve(reference, { credentials: [pullSecret] });
    expect(resolved.host).toBe(upstream.address);
    expect(authorizationsOf(mirror)).toEqual([undefined]);
    expect(asked).toEqual([mirror.address]);
  });

  test('nor what the source knows for the registry', async () => {
    const { client, mirror, reference } = await setUp(wants('mirror-user'), { upstream: [pullSecret] });
    await client.resolve(reference);
    expect(authorizationsOf(mirror)).toEqual([undefined]);
  });

  test('gets what is configured for its own host, also beside a pull secret', async () => {
    const own: Credential = { username: 'mirror-user', password: 'm', origin: 'docker config.json' };
    const { client, mirror, upstream, reference } = await setUp(wants('mirror-user'), { mirror: [own] });
    const resolved = await client.resolve(reference, { credentials: [pullSecret] });
    expect(resolved.host).toBe(mirror.address);
    expect(upstream.requests).toHaveLength(0);
  });

  test('gets a credential of the call that names it, and then the registry does not', async () => {
    const { client, mirror, upstream, reference } = await setUp(wants('mirror-user'));
    const named: Credential = { username: 'mirror-user', password: 'm', host: mirror.address, origin: 'pull request' };
    expect((await client.resolve(reference, { credentials: [named] })).host).toBe(mirror.address);
    const other: Credential = { ...named, username: 'other', host: mirror.address };
    await expect(client.resolve(reference, { credentials: [other] })).rejects.toThrow(/asked without credentials/);
    expect(authorizationsOf(upstream).every((authorization) => authorization === undefined)).toBe(true);
  });
});

test('a mirror’s token server is asked for what the mirror demands', async () => {
  const tokens = await startTokenServer();
  onTestFinished(() => tokens.close());
  const scope = 'repository:cache/team/app:pull';
  const { client, mirror, reference } = await setUp(({ headers }, response) => {
    const challenge = tokens.challengeFor(headers, scope);
    return challenge === undefined
      ? response.writeHead(200, describedImage()).end()
      : response.writeHead(401, { 'www-authenticate': challenge }).end();
  });
  expect((await client.resolve(reference)).host).toBe(mirror.address);
  expect(new URL(tokens.requests[0]!.path, tokens.realm).searchParams.getAll('scope')).toEqual([scope]);
});

test('of several credentials for paths, the most specific one counts', async () => {
  const registry = await newServer(wants('team'));
  const credentials = async (): Promise<Credential[]> => [
    { username: 'everybody', password: 'x', origin: 'auth.json' },
    { username: 'team', password: 'x', path: 'team', origin: 'auth.json' },
    { username: 'prefix', password: 'x', path: 'tea', origin: 'auth.json' },
    { path: 'team/public', origin: 'auth.json' },
  ];
  const { client } = newClient({ credentials });
  await client.resolve(referenceAt(registry));
  await expect(client.resolve(referenceAt(registry, 'team/public:1'))).rejects.toThrow(/asked without credentials/);
  await expect(client.resolve(referenceAt(registry, 'teamwork/app:1'))).rejects.toThrow(/asked with auth.json/);
});
