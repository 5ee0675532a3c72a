import { expect, test } from 'vitest';
import type { Credential } from '../../src/registry/index.ts';
import type { HostileServer, ReceivedRequest } from '../support/hostile-server.ts';
import { collect, descriptorOf, failureOf, newClient, newServer, noise, referenceAt } from './fixtures.ts';

const blob = noise(100_000);
const descriptor = descriptorOf(blob);
const alice: Credential = { username: 'alice', password: 'topsecret', origin: 'secret alice' };

/** A registry that wants Basic and sends its readers elsewhere. */
function newRedirectingRegistry(target: (request: ReceivedRequest) => string, status = 307): Promise<HostileServer> {
  return newServer((request, response) => {
    if (request.headers.authorization === undefined) {
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    }
    response.writeHead(status, { location: target(request) }).end('moved');
  });
}

test.each([301, 302, 303, 307, 308])(
  '%d to another host: no Authorization, but Range and the query',
  async (status) => {
    const storage = await newServer(({ headers }, response) => {
      const offset = Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1]);
      response.writeHead(206, { 'content-range': `bytes ${offset}-${blob.length - 1}/${blob.length}` });
      response.end(blob.subarray(offset));
    });
    const registry = await newRedirectingRegistry(() => `${storage.url}/bucket/x?signature=s1&x=1`, status);
    const { client, records } = newClient({ credentials: async () => [alice] });
    const { body, offset } = await client.fetchBlob(referenceAt(registry), descriptor, { offset: 1000 });
    expect(offset).toBe(1000);
    expect((await collect(body)).equals(blob.subarray(1000))).toBe(true);
    expect(storage.requests).toHaveLength(1);
    expect(storage.requests[0]).toMatchObject({
      path: '/bucket/x?signature=s1&x=1',
      headers: { range: 'bytes=1000-', 'accept-encoding': 'identity' },
    });
    expect(storage.requests[0]!.headers.authorization).toBeUndefined();
    expect(records.at(-1)).toMatchObject({
      registry: registry.address,
      host: storage.address,
      path: '/bucket/x?signature=REDACTED&x=REDACTED',
    });
  },
);

test('back at the registry the Authorization is sent again', async () => {
  let storage: HostileServer;
  const registry: HostileServer = await newServer(({ path, headers }, response) => {
    if (headers.authorization === undefined) {
      return response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
    }
    if (path === '/final') return response.end(blob);
    response.writeHead(307, { location: `${storage.url}/hop` }).end();
  });
  storage = await newServer((_, response) => response.writeHead(307, { location: `${registry.url}/final` }).end());
  const { client } = newClient({ credentials: async () => [alice] });
  expect((await collect((await client.fetchBlob(referenceAt(registry), descriptor)).body)).equals(blob)).toBe(true);
  expect(storage.requests[0]!.headers.authorization).toBeUndefined();
  expect(registry.requests.at(-1)!.headers.authorization).toBeDefined();
});

test('a storage host that demands a login gets none: the registry is asked for a new URL once', async () => {
  let valid = false;
  const storage = await newServer((_, response) => {
    if (valid) return response.end(blob);
    response.writeHead(401, { 'www-authenticate': 'Basic realm="phishing"' }).end();
  });
  const registry = await newRedirectingRegistry(() => storage.url);
  const { client } = newClient({ credentials: async () => [alice] });
  const error = await failureOf(client.fetchBlob(referenceAt(registry), descriptor));
  expect(error.data).toMatchObject({ kind: 'unauthorized', host: storage.address, credentials: [] });
  expect(error.message).toContain(`${storage.address}, where registry ${registry.address} redirects to`);
  expect(storage.requests).toHaveLength(2);
  expect(storage.requests.every(({ headers }) => headers.authorization === undefined)).toBe(true);
  valid = true;
  await collect((await client.fetchBlob(referenceAt(registry), descriptor)).body);
});

test('a storage host that refuses an expired address is quoted, and nobody is told to log in', async () => {
  const storage = await newServer((_, response) => {
    response.writeHead(403, { 'content-type': 'application/xml' });
    response.end('<?xml version="1.0"?><Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>');
  });
  const registry = await newRedirectingRegistry(() => storage.url);
  const { client } = newClient({ credentials: async () => [alice] });
  const error = await failureOf(client.fetchBlob(referenceAt(registry), descriptor));
  expect(error.data).toMatchObject({ kind: 'denied', status: 403, host: storage.address });
  expect(error.message).toContain('AccessDenied: Request has expired');
  expect(error.hint).toMatch(/may have expired: try again/);
});

test('after a cut the registry is asked for the storage URL again', async () => {
  const paths: string[] = [];
  const storage = await newServer(({ path, headers }, response) => {
    paths.push(path);
    if (headers.range === undefined) {
      response.writeHead(200, { 'content-length': blob.length });
      return response.write(blob.subarray(0, 60_000), () => response.socket?.destroy());
    }
    response.writeHead(206, { 'content-range': `bytes 60000-${blob.length - 1}/${blob.length}` });
    response.end(blob.subarray(60_000));
  });
  const registry: HostileServer = await newRedirectingRegistry(() => `${storage.url}/signed-${paths.length + 1}`);
  const { client } = newClient({ credentials: async () => [alice] });
  expect((await collect((await client.fetchBlob(referenceAt(registry), descriptor)).body)).equals(blob)).toBe(true);
  expect(paths).toEqual(['/signed-1', '/signed-2']);
});

test('an endless chain ends after ten redirects', async () => {
  const registry = await newServer(({ path }, response) => {
    response.writeHead(307, { location: `${path}x` }).end();
  });
  const error = await failureOf(newClient().client.fetchBlob(referenceAt(registry), descriptor));
  expect(error.data.kind).toBe('protocol');
  expect(registry.requests).toHaveLength(11);
});

test.each(['file:///etc/passwd', 'http://'])('a redirect to %s is an error', async (location) => {
  const registry = await newServer((_, response) => response.writeHead(302, { location }).end());
  expect((await failureOf(newClient().client.fetchBlob(referenceAt(registry), descriptor))).data.kind).toBe('protocol');
});
