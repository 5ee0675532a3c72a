import type { ServerResponse } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { mediaTypes, parseReference } from '../../src/oci/index.ts';
import { isUnreachable } from '../../src/registry/index.ts';
import { cutBody, sendJson } from '../support/hostile-server.ts';
import { descriptorOf, failureOf, newCertsDir, newClient, newServer, referenceAt, testImage } from './fixtures.ts';

const image = testImage();
const okHeaders = {
  'content-type': mediaTypes.ociManifest,
  'docker-content-digest': image.descriptor.digest,
  'content-length': image.manifest.length,
};

/** A TCP server that does `behave` with each connection. */
async function newTcpServer(behave: (socket: Socket) => void): Promise<{ address: string }> {
  const server = createServer();
  const sockets = new Set<Socket>();
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    behave(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { address: `127.0.0.1:${(server.address() as { port: number }).port}` };
}

describe('failures that pass', () => {
  test.each([408, 429, 500, 502, 503, 504])('%d is tried again, after a growing pause', async (status) => {
    let failures = 3;
    const server = await newServer((_, response) => {
      failures -= 1;
      response.writeHead(failures >= 0 ? status : 200, failures >= 0 ? {} : okHeaders).end();
    });
    const { client, clock } = newClient();
    await client.resolve(referenceAt(server));
    expect(server.requests).toHaveLength(4);
    expect(clock.slept).toEqual([500, 1000, 2000]);
  });

  test('five attempts are enough', async () => {
    const server = await newServer((_, response) => response.writeHead(503).end());
    const error = await failureOf(newClient().client.resolve(referenceAt(server)));
    expect(server.requests).toHaveLength(5);
    expect(error.code).toBe('ERR_LADING_REGISTRY_SERVER_ERROR');
    expect(error.data).toMatchObject({ kind: 'server-error', unreachable: true, status: 503 });
    expect(isUnreachable(error)).toBe(true);
  });

  test('Retry-After is waited for, by all requests to that registry', async () => {
    let limited = true;
    const server = await newServer((_, response) => {
      response.writeHead(limited ? 429 : 200, limited ? { 'retry-after': '7' } : okHeaders).end();
      limited = false;
    });
    const { client, clock } = newClient();
    await client.resolve(referenceAt(server));
    expect(clock.slept).toEqual([7000]);
  });

  test.each(['0', 'Wed, 31 Dec 2025 00:00:00 GMT'])(
    'Retry-After: %s does not mean at once, again and again',
    async (value) => {
      const server = await newServer((_, response) => response.writeHead(503, { 'retry-after': value }).end());
      const { client, clock } = newClient();
      await failureOf(client.resolve(referenceAt(server)));
      expect(clock.slept).toEqual([500, 1000, 2000, 4000]);
    },
  );

  test('a longer wait than a minute is left to the caller', async () => {
    const server = await newServer((_, response) => {
      sendJson(
        response,
        429,
        { errors: [{ code: 'TOOMANYREQUESTS', message: 'pull rate limit' }] },
        {
          'retry-after': '3600',
        },
      );
    });
    const { client, clock } = newClient();
    const error = await failureOf(client.fetchManifest(referenceAt(server), image.descriptor.digest));
    expect(clock.slept).toEqual([]);
    expect(error.code).toBe('ERR_LADING_REGISTRY_RATE_LIMITED');
    expect(error.data).toMatchObject({
      kind: 'rate-limited',
      unreachable: true,
      registryCode: 'TOOMANYREQUESTS',
      retryAfterMs: 3_600_000,
    });
    expect(error.message).toContain('it asks to wait 3600 s');
    expect(error.hint).toContain('3600 s');
  });

  test.each(['a manifest', 'a list', 'a token'])('%s that is cut or stalls is asked for again', async (what) => {
    const times = new Map<string, number>();
    const server = await newServer(({ path, headers }, response) => {
      const place = new URL(path, 'http://any').pathname;
      const time = (times.get(place) ?? 0) + 1;
      times.set(place, time);
      if (place !== '/token' && headers.authorization === undefined && what === 'a token') {
        times.delete(place);
        return response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${headers.host}/token"` }).end();
      }
      const body = place === '/token' ? '{"token":"t"}' : place.endsWith('/list') ? '{"tags":["a"]}' : image.manifest;
      response.writeHead(200, { 'content-type': mediaTypes.ociManifest, 'content-length': body.length });
      if (time > 2) return response.end(body);
      return response.write(body.slice(0, 5), () => time === 2 && response.socket?.destroy());
    });
    const { client, clock } = newClient({ timeouts: { idleMs: 50 } });
    if (what === 'a list') expect(await client.listTags(referenceAt(server))).toEqual(['a']);
    else await client.fetchManifest(referenceAt(server), image.descriptor.digest);
    expect(clock.slept.length).toBeGreaterThanOrEqual(2);
    expect([...times.values()].every((time) => time === 3)).toBe(true);
  });

  test('an answer that is cut again and again is an incomplete one', async () => {
    const server = await newServer((_, response) => cutBody(response, image.manifest, { count: 5 }));
    const error = await failureOf(newClient().client.fetchManifest(referenceAt(server), image.descriptor.digest));
    expect(error.data).toMatchObject({ kind: 'truncated', unreachable: true });
    expect(error.message).toMatch(/^Incomplete answer from .*after 5 bytes$/);
    expect(server.requests).toHaveLength(5);
  });

  test('a reset before the answer costs nothing once, then a pause', async () => {
    let resets = 2;
    const server = await newServer((_, response) => {
      resets -= 1;
      if (resets >= 0) response.socket?.resetAndDestroy();
      else response.writeHead(200, okHeaders).end();
    });
    const { client, clock } = newClient();
    await client.resolve(referenceAt(server));
    expect(clock.slept).toEqual([500]);
  });
});

describe('failures that stay', () => {
  test('other statuses are not tried again', async () => {
    for (const status of [400, 404, 405, 418, 501]) {
      const server = await newServer((_, response) => response.writeHead(status).end());
      const { client } = newClient();
      await failureOf(client.fetchManifest(referenceAt(server), image.descriptor.digest));
      expect(server.requests).toHaveLength(1);
    }
  });

  test('the message says who, what, status, the registry’s own words and the credentials', async () => {
    const server = await newServer((_, response) => {
      sendJson(response, 404, { errors: [{ code: 'MANIFEST_UNKNOWN', message: 'manifest\u001b[2J unknown' }, {}] });
    });
    const error = await failureOf(newClient().client.resolve(referenceAt(server)));
    expect(error.message).toBe(
      `Registry ${server.address} answered 404 Not Found for the manifest team/app:1.0, asked without credentials: ` +
        'MANIFEST_UNKNOWN: manifest [2J unknown',
    );
    expect(error.data).toMatchObject({ kind: 'not-found', unreachable: false, registryCode: 'MANIFEST_UNKNOWN' });
  });

  test.each([
    ['cut', (response: ServerResponse) => response.write('{"err', () => response.socket?.destroy())],
    ['stalls', (response: ServerResponse) => response.write('{"err')],
  ])('a refusal whose body %s is that refusal', async (_, send) => {
    const server = await newServer((_, response) => {
      response.writeHead(404, { 'content-type': 'application/json', 'content-length': 100 });
      send(response);
    });
    const { client, clock } = newClient({ timeouts: { idleMs: 50 } });
    const error = await failureOf(client.fetchManifest(referenceAt(server), image.descriptor.digest));
    expect(error.data).toMatchObject({ kind: 'not-found', status: 404 });
    expect([server.requests.length, clock.slept]).toEqual([1, []]);
  });

  test('a challenge, a redirect and a success count without the body that they announce', async () => {
    const server = await newServer(({ path, headers }, response) => {
      response.setHeader('content-length', 100);
      if (headers.authorization === undefined) response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' });
      else if (path !== '/stored') response.writeHead(307, { location: '/stored' });
      else response.writeHead(201);
      response.write('some of it', () => response.socket?.destroy());
    });
    const { client } = newClient({ credentials: async () => [{ username: 'u', password: 'p', origin: 'a test' }] });
    const stored = await client.pushManifest(referenceAt(server), image.manifest, mediaTypes.ociManifest);
    expect(stored).toBe(image.descriptor.digest);
  });

  test('an endless error body is read to its limit, and a web page is not quoted', async () => {
    const server = await newServer(({ method }, response) => {
      response.writeHead(403, { 'content-type': 'text/html' });
      if (method === 'HEAD') return response.end();
      const more = () => {
        while (response.write('<html>blocked by policy</html>'.repeat(1000))) if (response.destroyed) return;
      };
      response.on('drain', more).on('error', () => {});
      more();
    });
    const error = await failureOf(newClient().client.resolve(referenceAt(server)));
    expect(error.data).toMatchObject({ kind: 'denied', status: 403 });
    expect(error.message).not.toContain('blocked');
  });

  test('a registry that quotes the credentials does not get them into the message', async () => {
    const server = await newServer(({ headers }, response) => {
      if (headers.authorization === undefined) response.setHeader('www-authenticate', 'Basic realm="r"');
      const pair = Buffer.from((headers.authorization ?? '').slice(6), 'base64').toString();
      const message = `I got ${headers.authorization}, that is ${pair}`;
      sendJson(response, 401, { errors: [{ code: 'UNAUTHORIZED', message }] });
    });
    const { client } = newClient({
      credentials: async () => [{ username: 'u', password: 'topsecret', origin: 'a test' }],
    });
    const error = await failureOf(client.fetchManifest(referenceAt(server), image.descriptor.digest));
    const shown = `${error.message} ${error.hint} ${JSON.stringify(error.data)}`;
    expect(shown).toContain('I got Basic REDACTED, that is u:REDACTED');
    expect(shown).not.toContain('topsecret');
    expect(shown).not.toContain(Buffer.from('u:topsecret').toString('base64'));
  });
});

test('a storage host that quotes the address that it was given does not get it into the message', async () => {
  const server = await newServer(({ path }, response) => {
    if (!path.startsWith('/store'))
      return response.writeHead(307, { location: '/store?Signature=c2lnbmF0dXJl%2Bx' }).end();
    response.writeHead(400, { 'content-type': 'text/plain' }).end(`${path} is wrong, by the way c2lnbmF0dXJl+x`);
  });
  const error = await failureOf(newClient().client.fetchManifest(referenceAt(server), image.descriptor.digest));
  expect(error.message).toContain('/store?Signature=REDACTED is wrong, by the way REDACTED');
});

test('a mirror that quotes the headers that are configured for it does not get them into the message', async () => {
  const mirror = await newServer(({ headers }, response) => {
    sendJson(response, 403, { errors: [{ code: 'DENIED', message: `not with ${headers['x-api-key']}` }] });
  });
  const hosts = `server = "${mirror.url}"\n[header]\nx-api-key = "geheimnisvoll"\n`;
  const certsDir = await newCertsDir({ 'registry.test/hosts.toml': hosts });
  const { client } = newClient({ certsDirs: [certsDir] });
  const error = await failureOf(client.fetchManifest(parseReference('registry.test/app'), image.descriptor.digest));
  expect(error.message).toContain('DENIED: not with REDACTED');
});

describe('no registry there', () => {
  test('refused', async () => {
    const server = await newServer(() => {});
    const reference = referenceAt(server);
    const { client, records } = newClient();
    await server.close();
    const error = await failureOf(client.resolve(reference));
    expect(error.code).toBe('ERR_LADING_REGISTRY_REFUSED');
    expect(error.data).toMatchObject({ kind: 'refused', unreachable: true });
    expect(error.message).toContain('refused the connection');
    expect(records).toHaveLength(5);
    expect(records[0]).toMatchObject({ status: undefined, method: 'HEAD' });
  });

  test('no such host', async () => {
    const { client } = newClient({
      lookup: (hostname, _, callback) => {
        callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${hostname}`), { code: 'ENOTFOUND' }), '', 0);
      },
    });
    const error = await failureOf(client.resolve(parseReference('registry.test/app')));
    expect(error.code).toBe('ERR_LADING_REGISTRY_NO_SUCH_HOST');
    expect(error.data).toMatchObject({ unreachable: true, registry: 'registry.test' });
    const impossible = await failureOf(client.resolve(parseReference('registry.test:65536/app')));
    expect(impossible.code).toBe('ERR_LADING_REGISTRY_NO_SUCH_HOST');
  });

  test('silence before the headers', async () => {
    const server = await newServer(() => {});
    const { client } = newClient({ timeouts: { quickAnswerMs: 50 }, retry: { attempts: 2 } });
    const error = await failureOf(client.resolve(referenceAt(server)));
    expect(error.data).toMatchObject({ kind: 'timeout', unreachable: true });
    expect(server.requests).toHaveLength(2);
  });

  test('interim answers and no other', async () => {
    const server = await newServer((_, response) => {
      const interim = setInterval(() => response.writeEarlyHints({ link: '</a>; rel=preload' }), 10);
      response.on('close', () => clearInterval(interim));
    });
    const { client } = newClient({ timeouts: { quickAnswerMs: 50 }, retry: { attempts: 2 } });
    const error = await failureOf(client.resolve(referenceAt(server)));
    expect(error.data).toMatchObject({ kind: 'timeout', unreachable: true });
    expect(server.requests).toHaveLength(2);
  });

  test('something that speaks neither TLS nor HTTP', async () => {
    const server = await newTcpServer((socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n'));
    const error = await failureOf(newClient().client.resolve(referenceAt(server)));
    expect(error.data).toMatchObject({ kind: 'protocol', unreachable: false });
  });

  test('something that swallows the TLS greeting: http is tried after the handshake’s time', async () => {
    let connections = 0;
    const server = await newTcpServer((socket) => {
      connections += 1;
      socket.on('data', (data: Buffer) => {
        if (data.toString().startsWith('HEAD ')) {
          const headers = Object.entries(okHeaders).map(([name, value]) => `${name}: ${value}\r\n`);
          socket.write(`HTTP/1.1 200 OK\r\n${headers.join('')}\r\n`);
        }
      });
    });
    const { client } = newClient({ timeouts: { handshakeMs: 50 } });
    await client.resolve(referenceAt(server));
    await client.resolve(referenceAt(server));
    expect(connections).toBe(2);
  });

  test('an aborted call ends at once with the reason, wherever it is', async () => {
    const silent = await newTcpServer(() => {});
    const answering = await newServer((_, response) => response.writeHead(200, { 'content-length': 10 }).write('a'));
    const { client } = newClient();
    const reason = new Error('enough');
    const connecting = new AbortController();
    const given = failureOf(client.resolve(referenceAt(silent), { signal: connecting.signal }));
    setTimeout(() => connecting.abort(reason), 20);
    expect(await given).toBe(reason);
    const reading = new AbortController();
    const { body } = await client.fetchBlob(
      referenceAt(answering),
      { ...descriptorOf(Buffer.alloc(10)) },
      { signal: reading.signal },
    );
    setTimeout(() => reading.abort(reason), 20);
    const read = async () => {
      for await (const _ of body);
    };
    expect(await failureOf(read())).toBe(reason);
    expect(await failureOf(client.resolve(referenceAt(answering), { signal: AbortSignal.abort(reason) }))).toBe(reason);
  });
});
