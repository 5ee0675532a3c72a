import type { ServerResponse } from 'node:http';
import { setImmediate } from 'node:timers/promises';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { mediaTypes } from '../../src/oci/index.ts';
import type { Credential, RegistryClient } from '../../src/registry/index.ts';
import { type HostileServer, sendJson } from '../support/hostile-server.ts';
import { startTokenServer, type TokenServer, type TokenServerOptions } from '../support/token-server.ts';
import { collect, failureOf, newClient, newServer, referenceAt, testImage } from './fixtures.ts';

const image = testImage();
const alice: Credential = { username: 'alice', password: 'p:ä+%&', origin: 'secret alice' };
const mallory: Credential = { username: 'mallory', password: 'guess', origin: 'secret mallory' };
const users = { alice: 'p:ä+%&', bob: 'b' };

async function newTokenServer(options: TokenServerOptions = { users }): Promise<TokenServer> {
  const server = await startTokenServer(options);
  onTestFinished(() => server.close());
  return server;
}

/** A registry with one image, which wants a token for each repository. */
function newRegistry(tokens: TokenServer): Promise<HostileServer> {
  return newServer(({ method, path, headers }, response) => {
    const repository = /^\/v2\/(.+)\/(?:manifests|blobs)\//.exec(path)?.[1];
    const challenge = tokens.challengeFor(headers, `repository:${repository}:pull`);
    if (challenge !== undefined) {
      return sendJson(
        response,
        401,
        { errors: [{ code: 'UNAUTHORIZED', message: 'authentication required' }] },
        {
          'www-authenticate': challenge,
        },
      );
    }
    const blob = image.blobs.find(({ descriptor }) => path.endsWith(descriptor.digest));
    const body = blob?.bytes ?? image.manifest;
    response.writeHead(200, {
      'content-type': blob ? mediaTypes.octetStream : mediaTypes.ociManifest,
      'content-length': body.length,
      ...(!blob && { 'docker-content-digest': image.descriptor.digest }),
    });
    response.end(method === 'HEAD' ? undefined : body);
  });
}

const methodsOf = (server: { requests: readonly { method: string }[] }) => server.requests.map(({ method }) => method);

describe('bearer tokens', () => {
  test('anonymous: challenged once per repository, then the token is used', async () => {
    const tokens = await newTokenServer();
    const registry = await newRegistry(tokens);
    const { client, records } = newClient();
    for (let round = 0; round < 3; round += 1) await client.resolve(referenceAt(registry));
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      'Bearer token-1',
      'Bearer token-1',
      'Bearer token-1',
    ]);
    expect(tokens.requests).toHaveLength(1);
    expect(tokens.requests[0]!.path).toBe('/token?service=tests&scope=repository%3Ateam%2Fapp%3Apull');
    expect(tokens.requests[0]!.headers.authorization).toBeUndefined();
    expect(records.map(({ kind, status }) => [kind, status])).toEqual([
      ['manifest', 401],
      ['token', 200],
      ['manifest', 200],
      ['manifest', 200],
      ['manifest', 200],
    ]);
  });

  test('with a user: Basic at the token server only, with the account', async () => {
    const tokens = await newTokenServer();
    const registry = await newRegistry(tokens);
    const { client } = newClient({ credentials: async () => [alice] });
    await client.resolve(referenceAt(registry));
    expect(new URL(tokens.requests[0]!.path, 'http://x').searchParams.get('account')).toBe('alice');
    const basic = tokens.requests[0]!.headers.authorization!.slice('Basic '.length);
    expect(Buffer.from(basic, 'base64').toString('utf8')).toBe('alice:p:ä+%&');
    expect(registry.requests.every(({ headers }) => !headers.authorization?.startsWith('Basic'))).toBe(true);
  });

  test('an identity token is exchanged by POST, and as a password where POST is unknown', async () => {
    const identity: Credential = { identityToken: 'refresh+me', origin: 'identity' };
    const modern = await newTokenServer({ identityTokens: ['refresh+me'], forms: ['POST'] });
    const { client } = newClient({ credentials: async () => [identity] });
    await client.resolve(referenceAt(await newRegistry(modern)));
    expect(methodsOf(modern)).toEqual(['POST']);
    expect(Object.fromEntries(new URLSearchParams(modern.requests[0]!.body.toString()))).toMatchObject({
      grant_type: 'refresh_token',
      refresh_token: 'refresh+me',
      service: 'tests',
      client_id: 'lading',
      scope: 'repository:team/app:pull',
    });
    const old = await newTokenServer({ users: { '<token>': 'refresh+me' }, forms: ['GET'] });
    const oldRegistry = await newRegistry(old);
    await client.resolve(referenceAt(oldRegistry));
    await client.resolve(referenceAt(oldRegistry, 'team/other:1'));
    expect(methodsOf(old)).toEqual(['POST', 'GET', 'GET']);
  });

  test('a password is posted where GET is unknown', async () => {
    const tokens = await newTokenServer({ users, forms: ['POST'] });
    const { client } = newClient({ credentials: async () => [alice] });
    await client.resolve(referenceAt(await newRegistry(tokens)));
    expect(methodsOf(tokens)).toEqual(['GET', 'POST']);
  });

  test('concurrent requests share one token request, also when the first of them gives up', async () => {
    const tokens = await newTokenServer();
    const registry = await newRegistry(tokens);
    const { client } = newClient();
    const [config, layer] = image.blobs;
    const abort = new AbortController();
    const given = failureOf(client.resolve(referenceAt(registry), { signal: abort.signal }));
    const others = [
      client.resolve(referenceAt(registry)),
      client.readBlob(referenceAt(registry), config!.descriptor, { maxBytes: 1000 }),
      client.readBlob(referenceAt(registry), layer!.descriptor, { maxBytes: 1000 }),
    ];
    abort.abort(new Error('gave up'));
    expect((await given).message).toBe('gave up');
    await Promise.all(others);
    expect(tokens.requests).toHaveLength(1);
  });

  test('a short life is stretched to a minute, and a token is renewed before it ends', async () => {
    const tokens = await newTokenServer({ expiresInS: 5 });
    const registry = await newRegistry(tokens);
    const { client, clock } = newClient();
    await client.resolve(referenceAt(registry));
    clock.advance(50_000);
    await client.resolve(referenceAt(registry));
    expect(tokens.requests).toHaveLength(1);
    clock.advance(5_000);
    await client.resolve(referenceAt(registry));
    expect(tokens.requests).toHaveLength(2);
    expect(registry.requests).toHaveLength(4);
  });

  test('a server whose clock is behind gives tokens that are kept', async () => {
    const { client, clock } = newClient();
    let asked = 0;
    const tokens = await newServer((_, response) => {
      asked += 1;
      const issuedAt = new Date(clock.now() - 3_600_000).toISOString();
      sendJson(response, 200, { token: 't', expires_in: 300, issued_at: issuedAt });
    });
    const registry = await newServer(({ headers }, response) => {
      if (headers.authorization !== undefined) return response.writeHead(404).end();
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${tokens.url}/token"` }).end();
    });
    for (let round = 0; round < 3; round += 1) await client.hasBlob(referenceAt(registry), image.descriptor);
    expect(asked).toBe(1);
    clock.advance(300_000);
    await client.hasBlob(referenceAt(registry), image.descriptor);
    expect(asked).toBe(2);
  });

  test('a life beyond all numbers is that of a day', async () => {
    const { client, clock } = newClient();
    let asked = 0;
    const tokens = await newServer((_, response) => {
      asked += 1;
      sendJson(response, 200, { token: 't', expires_in: Number.MAX_VALUE });
    });
    const registry = await newServer(({ headers }, response) => {
      if (headers.authorization !== undefined) return response.writeHead(404).end();
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${tokens.url}/token"` }).end();
    });
    for (const hours of [0, 20, 20]) {
      clock.advance(hours * 3_600_000);
      await client.hasBlob(referenceAt(registry), image.descriptor);
    }
    expect(asked).toBe(2);
  });

  test('a token that is refused is renewed once, and only once', async () => {
    const tokens = await newTokenServer();
    const registry = await newRegistry(tokens);
    const { client } = newClient();
    await client.resolve(referenceAt(registry));
    tokens.revoke();
    await client.resolve(referenceAt(registry));
    expect(tokens.requests).toHaveLength(2);
    const stubborn = await newServer((_, response) => {
      const challenge = `Bearer realm="${tokens.realm}",service="tests",error="invalid_token"`;
      response.writeHead(401, { 'www-authenticate': challenge }).end();
    });
    const error = await failureOf(client.resolve(referenceAt(stubborn)));
    expect(error.data).toMatchObject({ kind: 'unauthorized', status: 401, credentials: [] });
    expect(stubborn.requests).toHaveLength(3);
    expect(tokens.requests).toHaveLength(4);
  });

  test('a wider scope that the registry demands later is added', async () => {
    const tokens = await newTokenServer();
    let wanted = 'repository:team/app:pull';
    const registry = await newServer(({ headers }, response) => {
      const challenge = tokens.challengeFor(headers, wanted);
      if (challenge !== undefined) return response.writeHead(401, { 'www-authenticate': challenge }).end();
      response.end(image.blobs[0]!.bytes);
    });
    const { client } = newClient();
    const read = () => client.readBlob(referenceAt(registry), image.blobs[0]!.descriptor, { maxBytes: 1000 });
    await read();
    wanted = 'repository:team/app:pull,metadata';
    await read();
    expect(new URL(tokens.requests[1]!.path, 'http://x').searchParams.getAll('scope')).toEqual([
      'repository:team/app:metadata,pull',
    ]);
  });

  test('a token server that quotes what it was sent does not get it into the message', async () => {
    const quoting = await newServer(({ headers, body }, response) => {
      sendJson(response, 401, { details: `I got ${headers.authorization} and ${body}` });
    });
    const server = await newServer((_, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${quoting.url}/token",service="s"` }).end();
    });
    const said = async (credential: Omit<Credential, 'origin'>) => {
      const { client } = newClient({ credentials: async () => [{ ...credential, origin: 'a test' }] });
      const error = await failureOf(client.resolve(referenceAt(server)));
      return error.data.registryMessage;
    };
    expect(await said({ identityToken: 'identity+token/=' })).toBe('I got Basic REDACTED and');
    expect(await said({ username: 'bob', identityToken: 'identity+token/=' })).toBe('I got Basic REDACTED and');
    expect(await said({ username: 'bob', password: 'pass word/+=' })).toBe('I got Basic REDACTED and');
  });

  test('nor one that knows forms only', async () => {
    const quoting = await newServer(({ method, body }, response) => {
      sendJson(response, method === 'GET' ? 404 : 401, { details: `I got ${body}` });
    });
    const server = await newServer((_, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${quoting.url}/token"` }).end();
    });
    const credential = { username: 'bob', password: 'pass word/+=', origin: 'a test' };
    const error = await failureOf(
      newClient({ credentials: async () => [credential] }).client.resolve(referenceAt(server)),
    );
    expect(error.data.registryMessage).toContain('username=bob&password=REDACTED&');
  });

  test('a realm inside the network of another is not asked', async () => {
    const registry = await newServer((_, response) => {
      response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://10.0.0.1/token"' }).end();
    });
    const error = await failureOf(newClient().client.resolve(referenceAt(registry)));
    expect(error.data.kind).toBe('protocol');
    expect(error.message).toContain('http://10.0.0.1');
  });

  test.each([
    ['no JSON', 'hello', /not JSON/],
    ['no token', '{"expires_in":60}', /no token/],
    ['a token that would split the header', JSON.stringify({ token: 'a\r\nHost: evil' }), /no header/],
    ['too much', `{"token":"${'x'.repeat(1024 * 1024)}"}`, /larger/],
  ])('a token server that sends %s is an error', async (_, body, message) => {
    const tokens = await newServer((__, response) => response.end(body));
    const registry = await newServer((__, response) => {
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${tokens.url}/t"` }).end();
    });
    const error = await failureOf(newClient().client.resolve(referenceAt(registry)));
    expect(error.message).toMatch(message);
    expect(error.message).toContain(`token server ${tokens.address} of registry ${registry.address}`);
  });
});

describe('a registry token', () => {
  const descriptor = image.blobs[0]!.descriptor;
  const token: Credential = { registryToken: 'ready-made', origin: 'file' };
  const newTokenRegistry = (challenge: Record<string, string>, answer?: (response: ServerResponse) => void) =>
    newServer(({ headers }, response) => {
      if (headers.authorization !== 'Bearer ready-made') return response.writeHead(401, challenge).end();
      if (answer) return answer(response);
      response.end(image.blobs[0]!.bytes);
    });
  const read = (registry: HostileServer, client: RegistryClient) =>
    client.readBlob(referenceAt(registry), descriptor, { maxBytes: 1000 });

  test('that is refused is not exchanged, and does not show', async () => {
    const tokens = await newTokenServer();
    const registry = await newRegistry(tokens);
    const { client } = newClient({ credentials: async () => [token] });
    const error = await failureOf(client.resolve(referenceAt(registry)));
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([undefined, 'Bearer ready-made']);
    expect(tokens.requests).toHaveLength(0);
    expect(error.data.kind).toBe('unauthorized');
    expect(error.message).not.toContain('ready-made');
  });

  test.each([
    ['Bearer', { 'www-authenticate': 'Bearer realm="http://127.0.0.1:1/token"' }],
    ['Bearer without a realm', { 'www-authenticate': 'Bearer error="invalid_token"' }],
    ['Bearer with a realm that is not asked', { 'www-authenticate': 'Bearer realm="http://10.0.0.1/token"' }],
    ['Basic', { 'www-authenticate': 'Basic realm="tests"' }],
    ['nothing', {}],
  ])('is sent directly where the challenge is %s, then at once', async (_, challenge: Record<string, string>) => {
    const registry = await newTokenRegistry(challenge);
    const { client } = newClient({ credentials: async () => [token] });
    for (let round = 0; round < 2; round += 1) {
      expect(await read(registry, client)).toEqual(image.blobs[0]!.bytes);
    }
    expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([
      undefined,
      'Bearer ready-made',
      'Bearer ready-made',
    ]);
  });

  test('beside a password: the registry chooses', async () => {
    const registry = await newServer(({ headers }, response) => {
      if (!headers.authorization) return response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      response.end(image.blobs[0]!.bytes);
    });
    await read(registry, newClient({ credentials: async () => [{ ...alice, ...token }] }).client);
    expect(registry.requests[1]!.headers.authorization).toMatch(/^Basic /);
  });

  test('that has expired gives way to the next credential, as it does to a token of a password', async () => {
    const tokens = await newTokenServer();
    const registry = await newRegistry(tokens);
    const credentials = [token, alice];
    await newClient().client.resolve(referenceAt(registry), { credentials });
    expect(registry.requests.at(-1)!.headers.authorization).toBe('Bearer token-1');
  });

  test('goes to no host that the registry redirects to', async () => {
    const storage = await newServer((_, response) => response.end(image.blobs[0]!.bytes));
    const registry = await newTokenRegistry({ 'www-authenticate': 'Bearer' }, (response) =>
      response.writeHead(307, { location: `${storage.url}/blob` }).end(),
    );
    const { client } = newClient({ credentials: async () => [token] });
    for (let round = 0; round < 2; round += 1) await read(registry, client);
    expect(storage.requests).toHaveLength(2);
    for (const { headers } of storage.requests) expect(headers.authorization).toBeUndefined();
  });
});

describe('Basic', () => {
  const newBasicRegistry = () =>
    newServer(({ headers }, response) => {
      const pair = Buffer.from((headers.authorization ?? '').slice('Basic '.length), 'base64').toString('utf8');
      if (pair !== 'alice:p:ä+%&') {
        response.setHeader('www-authenticate', 'Negotiate, Basic realm="tests"');
        return sendJson(response, 401, { errors: [{ code: 'UNAUTHORIZED', message: `not you: ${pair}` }] });
      }
      response.end(image.blobs[0]!.bytes);
    });
  const readFrom = (server: HostileServer, client = newClient().client, credentials?: readonly Credential[]) =>
    client.readBlob(referenceAt(server), image.blobs[0]!.descriptor, {
      maxBytes: 1000,
      ...(credentials && { credentials }),
    });

  test('is shown after the challenge, then at once, for all repositories', async () => {
    const registry = await newBasicRegistry();
    const { client } = newClient({ credentials: async () => [alice] });
    await readFrom(registry, client);
    await client.readBlob(referenceAt(registry, 'other/repo'), image.blobs[0]!.descriptor, { maxBytes: 1000 });
    expect(registry.requests.map(({ headers }) => headers.authorization !== undefined)).toEqual([false, true, true]);
  });

  test('without a credential the challenge is final', async () => {
    const registry = await newBasicRegistry();
    const error = await failureOf(readFrom(registry));
    expect(registry.requests).toHaveLength(1);
    expect(error.code).toBe('ERR_LADING_REGISTRY_UNAUTHORIZED');
    expect(error.message).toContain('asked without credentials');
    expect(error.hint).toContain('Log in');
  });

  test('the wrong password is final, is not followed by an anonymous try, and does not show', async () => {
    const registry = await newBasicRegistry();
    const error = await failureOf(readFrom(registry, newClient({ credentials: async () => [mallory] }).client));
    expect(registry.requests).toHaveLength(2);
    expect(error.data).toMatchObject({ kind: 'unauthorized', credentials: ['secret mallory'] });
    expect(error.message).toContain('asked with secret mallory');
    expect(`${error.message} ${error.hint} ${JSON.stringify(error.data)}`).not.toContain('guess');
  });
});

describe('several credentials', () => {
  test('are tried in order, and the one that worked comes first next time', async () => {
    const tokens = await newTokenServer();
    const registry = await newRegistry(tokens);
    const { client } = newClient();
    const credentials = [mallory, alice];
    await client.resolve(referenceAt(registry), { credentials });
    expect(tokens.requests).toHaveLength(2);
    await client.resolve(referenceAt(registry), { credentials });
    expect(tokens.requests).toHaveLength(2);
    expect(registry.requests).toHaveLength(3);
  });

  test('all refused: the error names them all', async () => {
    const tokens = await newTokenServer();
    const registry = await newRegistry(tokens);
    const credentials = [mallory, { ...mallory, password: 'second-guess', origin: 'secret two' }];
    const error = await failureOf(newClient().client.resolve(referenceAt(registry), { credentials }));
    expect(error.data).toMatchObject({ kind: 'unauthorized', credentials: ['secret mallory', 'secret two'] });
    expect(error.message).toContain('incorrect username or password');
    expect(error.message).not.toContain('guess');
  });

  test('a token of one credential never serves a call with another', async () => {
    const tokens = await newTokenServer();
    tokens.anonymous = false;
    const registry = await newRegistry(tokens);
    const { client } = newClient();
    await client.resolve(referenceAt(registry), { credentials: [alice] });
    const bad = await failureOf(client.resolve(referenceAt(registry), { credentials: [mallory] }));
    expect(bad.data.kind).toBe('unauthorized');
    const none = await failureOf(client.resolve(referenceAt(registry), { credentials: [] }));
    expect(none.data.kind).toBe('unauthorized');
    expect(registry.requests.filter(({ headers }) => headers.authorization === 'Bearer token-1')).toHaveLength(1);
  });

  test('a 404 is no reason to try the next one', async () => {
    const registry = await newServer(({ headers }, response) => {
      if (headers.authorization === undefined) response.setHeader('www-authenticate', 'Basic realm="r"');
      response.writeHead(headers.authorization === undefined ? 401 : 404).end();
    });
    const { client } = newClient();
    const tried = client.hasBlob(referenceAt(registry), image.descriptor, { credentials: [mallory, alice] });
    expect(await tried).toBe(false);
    expect(registry.requests).toHaveLength(2);
  });
});

describe('the credential source', () => {
  test('is not asked as long as nothing demands a credential', async () => {
    const registry = await newServer((_, response) => response.end(image.blobs[0]!.bytes));
    const { client } = newClient({
      credentials: () => {
        throw new Error('must not be asked');
      },
    });
    await client.readBlob(referenceAt(registry), image.blobs[0]!.descriptor, { maxBytes: 1000 });
  });

  test('is asked again when what it said before expires', async () => {
    let password = 'old';
    const registry = await newServer(({ headers }, response) => {
      const sent = headers.authorization;
      if (sent === undefined) return response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      const valid = sent === `Basic ${Buffer.from(`AWS:${password}`).toString('base64')}`;
      if (valid) return response.end(image.blobs[0]!.bytes);
      response.writeHead(403, { 'content-type': 'text/plain' });
      response.end('Your authorization token has expired. Reauthenticate and try again.');
    });
    let asked = 0;
    const { client } = newClient({
      credentials: async () => {
        asked += 1;
        return [{ username: 'AWS', password, origin: 'ecr' }];
      },
    });
    const read = () => client.readBlob(referenceAt(registry), image.blobs[0]!.descriptor, { maxBytes: 1000 });
    await read();
    await read();
    expect(asked).toBe(1);
    password = 'new';
    await read();
    expect(asked).toBe(2);
  });

  test('one that fails is an error where a credential is demanded, and none elsewhere', async () => {
    const credentials = async () => {
      throw new Error('the helper is broken');
    };
    const closed = await newServer((_, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    });
    const { client } = newClient({ credentials });
    expect((await failureOf(client.hasBlob(referenceAt(closed), image.descriptor))).message).toBe(
      'the helper is broken',
    );
    const open = await newServer((_, response) => response.writeHead(404).end());
    expect(await client.hasBlob(referenceAt(open), image.descriptor)).toBe(false);
  });
});

test('an aborted call does not wait for the credential source', async () => {
  const registry = await newServer((_, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
  });
  const abort = new AbortController();
  const { client } = newClient({
    credentials: () => {
      setTimeout(() => abort.abort(new Error('enough')), 10);
      return new Promise(() => {});
    },
  });
  const error = await failureOf(client.hasBlob(referenceAt(registry), image.descriptor, { signal: abort.signal }));
  expect(error.message).toBe('enough');
});

test('a closed client waits for no credential source either', async () => {
  const registry = await newServer((_, response) => {
    response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
  });
  const { client } = newClient({
    credentials: (_, { signal } = {}) =>
      new Promise((_, reject) => {
        signal?.addEventListener('abort', () => reject(new Error('closed')));
        void client.close();
      }),
  });
  expect((await failureOf(client.hasBlob(referenceAt(registry), image.descriptor))).message).toBe('closed');
});

describe('a registry that hides what needs a login', () => {
  test('is pinged for all callers, whoever gives up, and again when it says nothing about logins', async () => {
    const pings: ServerResponse[] = [];
    const registry = await newServer(({ path, headers }, response) => {
      if (path === '/v2/') return pings.push(response);
      response.writeHead(headers.authorization === undefined ? 404 : 200).end();
    });
    const { client, records } = newClient({ credentials: async () => [alice], retry: { attempts: 1 } });
    const ask = (signal?: AbortSignal) =>
      client.hasBlob(referenceAt(registry), image.descriptor, signal ? { signal } : {});
    const abort = new AbortController();
    const first = failureOf(ask(abort.signal));
    await vi.waitFor(() => expect(pings).toHaveLength(1));
    const second = ask();
    abort.abort(new Error('enough'));
    expect((await first).message).toBe('enough');
    await vi.waitFor(() => expect(records).toHaveLength(2));
    await setImmediate();
    pings[0]!.writeHead(501).end();
    expect(await second).toBe(false);
    const third = ask();
    await vi.waitFor(() => expect(pings).toHaveLength(2));
    pings[1]!.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    expect(await third).toBe(true);
  });

  test('is pinged once, if there are credentials, and asked again', async () => {
    const registry = await newServer(({ path, headers }, response) => {
      if (headers.authorization !== undefined) return response.end(image.blobs[0]!.bytes);
      if (path === '/v2/') response.setHeader('www-authenticate', 'Basic realm="r"');
      response.writeHead(path === '/v2/' ? 401 : 404).end();
    });
    const { client } = newClient({ credentials: async () => [alice] });
    const { body } = await client.fetchBlob(referenceAt(registry), image.blobs[0]!.descriptor);
    expect(await collect(body)).toEqual(image.blobs[0]!.bytes);
    expect(registry.log.map((line) => line.replace(/\/blobs\/.*/, ''))).toEqual([
      'GET /v2/team/app',
      'GET /v2/',
      'GET /v2/team/app',
    ]);
    const anonymous = newClient().client;
    await failureOf(anonymous.resolve(referenceAt(registry)));
    expect(registry.log.filter((line) => line === 'GET /v2/')).toHaveLength(1);
  });
});
