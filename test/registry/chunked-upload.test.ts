import type { ServerResponse } from 'node:http';
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chunkBytes } from '../../src/registry/chunked-upload.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import type { HostileServer, ReceivedRequest } from '../support/hostile-server.ts';
import { collect, descriptorOf, failureOf, newClient, newServer, noise, referenceAt } from './fixtures.ts';

const blob = noise(2 * chunkBytes + 100_000);
const descriptor = descriptorOf(blob);

/** Cuts the answer to a request, and keeps what of it. */
interface Cut {
  /** Bytes of the PATCH that are stored all the same. */
  readonly keep: number;
}

/** A registry that takes no whole blob, but chunks. `cut` may end the connection of a PATCH. */
async function newChunkServer(
  options: { cut?: (patch: number) => Cut | undefined; minChunk?: number; lose?: (get: number) => boolean } = {},
): Promise<{ server: HostileServer; stored: () => Buffer; sessions: () => number }> {
  let stored = Buffer.alloc(0);
  let sessions = 0;
  let patches = 0;
  let gets = 0;
  let state = 0;
  const location = () => ({ location: `/up/${sessions}?state=${state}` });
  const range = () => ({ range: `0-${Math.max(0, stored.length - 1)}` });
  const patch = ({ headers, body }: ReceivedRequest, response: ServerResponse) => {
    patches += 1;
    const start = Number(/^(\d+)-/.exec(String(headers['content-range']))?.[1]);
    if (start !== stored.length) return response.writeHead(416, { ...location(), ...range() }).end();
    const cut = options.cut?.(patches);
    stored = Buffer.concat([stored, body.subarray(0, cut ? cut.keep : body.length)]);
    if (cut) return response.socket?.destroy();
    state += 1;
    return response.writeHead(202, { ...location(), ...range() }).end();
  };
  const server = await newServer((received, response) => {
    const { method, body, path } = received;
    if (method === 'HEAD') return response.writeHead(404).end();
    if (method === 'POST') {
      sessions += 1;
      stored = Buffer.alloc(0);
      const minimum = options.minChunk === undefined ? {} : { 'oci-chunk-min-length': String(options.minChunk) };
      return response.writeHead(202, { ...location(), ...minimum }).end();
    }
    if (!path.startsWith(`/up/${sessions}?state=${state}`)) return response.writeHead(404).end();
    if (method === 'PATCH') return patch(received, response);
    if (method === 'GET') {
      gets += 1;
      return options.lose?.(gets)
        ? response.writeHead(404).end()
        : response.writeHead(204, { ...location(), ...range() }).end();
    }
    if (body.length > 0) return response.writeHead(413).end();
    return response.writeHead(201).end();
  });
  return { server, stored: () => stored, sessions: () => sessions };
}

const asPieces = async function* () {
  for (let at = 0; at < blob.length; at += 1_000_000) yield blob.subarray(at, at + 1_000_000);
};
const rangesOf = (server: HostileServer) =>
  server.requests.flatMap(({ method, headers }) => (method === 'PATCH' ? [headers['content-range']] : []));

describe('a blob that is too large in one piece', () => {
  test('is sent in chunks, each to where the last answer says', async () => {
    const { server, stored } = await newChunkServer();
    expect(await newClient().client.pushBlob(referenceAt(server), descriptor, asPieces)).toBe(true);
    expect(stored().equals(blob)).toBe(true);
    expect(rangesOf(server)).toEqual([
      `0-${chunkBytes - 1}`,
      `${chunkBytes}-${2 * chunkBytes - 1}`,
      `${2 * chunkBytes}-${blob.length - 1}`,
    ]);
    const last = server.requests.at(-1)!;
    expect([last.method, last.body.length]).toEqual(['PUT', 0]);
    expect(new URL(last.path, server.url).searchParams.get('digest')).toBe(descriptor.digest);
  });

  test('in chunks as large as the registry wants them', async () => {
    const { server, stored } = await newChunkServer({ minChunk: chunkBytes + 1000 });
    await newClient().client.pushBlob(referenceAt(server), descriptor, () => blob);
    expect(stored().equals(blob)).toBe(true);
    expect(rangesOf(server)[0]).toBe(`0-${chunkBytes + 999}`);
  });

  test('stays too large where chunks are refused too, or are no smaller', async () => {
    const small = noise(1000);
    const server = await newServer(({ method }, response) => {
      if (method === 'HEAD') return response.writeHead(404).end();
      if (method === 'POST') return response.writeHead(202, { location: '/up' }).end();
      return response.writeHead(413).end();
    });
    const push = (bytes: Buffer) => newClient().client.pushBlob(referenceAt(server), descriptorOf(bytes), () => bytes);
    expect((await failureOf(push(blob))).code).toBe('ERR_LADING_REGISTRY_TOO_LARGE');
    const methods = () => server.requests.map(({ method }) => method);
    expect(methods()).toEqual(['HEAD', 'POST', 'PUT', 'POST', 'PATCH', 'POST', 'PUT', 'DELETE']);
    server.requests.length = 0;
    expect((await failureOf(push(small))).code).toBe('ERR_LADING_REGISTRY_TOO_LARGE');
    expect(methods()).toEqual(['HEAD', 'POST', 'PUT', 'DELETE']);
  });
});

describe('a chunk whose connection is cut', () => {
  test.each([0, 1, 1_000_000, chunkBytes])('goes on behind the %d bytes that the registry kept', async (keep) => {
    const { server, stored, sessions } = await newChunkServer({ cut: (patch) => (patch === 2 ? { keep } : undefined) });
    await newClient().client.pushBlob(referenceAt(server), descriptor, asPieces);
    expect(stored().equals(blob)).toBe(true);
    expect(sessions()).toBe(2); // the whole, then the chunks
    expect(server.requests.filter(({ method }) => method === 'GET')).toHaveLength(1);
  });

  test('at the very beginning, where 0-0 may mean nothing, is sent again', async () => {
    const { server, stored } = await newChunkServer({ cut: (patch) => (patch === 1 ? { keep: 0 } : undefined) });
    await newClient().client.pushBlob(referenceAt(server), descriptor, asPieces);
    expect(stored().equals(blob)).toBe(true);
  });

  test('begins anew where the registry has lost the upload, and gives up in the end', async () => {
    const once = await newChunkServer({ cut: (patch) => (patch === 2 ? { keep: 5 } : undefined), lose: () => true });
    await newClient().client.pushBlob(referenceAt(once.server), descriptor, asPieces);
    expect(once.stored().equals(blob)).toBe(true);
    expect(once.sessions()).toBe(3);
    const always = await newChunkServer({ cut: () => ({ keep: 5 }), lose: () => true });
    const error = await failureOf(newClient().client.pushBlob(referenceAt(always.server), descriptor, asPieces));
    expect(error.data.kind).toBe('protocol');
    expect(error.message).toMatch(/loses the upload of blob/);
    expect(always.sessions()).toBe(5);
  });
});

test('a whole upload that is cut goes on in chunks', async () => {
  const { server, stored } = await newChunkServer();
  let cuts = 1;
  const front = await newServer((received, response) => {
    if (received.method === 'PUT' && received.body.length > 0 && cuts-- > 0) return response.socket?.destroy();
    return forward(received, response, server.port);
  });
  await newClient().client.pushBlob(referenceAt(front), descriptor, asPieces);
  expect(stored().equals(blob)).toBe(true);
  expect(front.requests.filter(({ method }) => method === 'PATCH')).toHaveLength(3);
});

describe.skipIf(dockerRegistryMissing)(`with a docker-registry (${dockerRegistryMissing ?? 'installed'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
  });
  afterAll(() => registry?.close());

  test('chunks arrive, also when one is cut on the way', async () => {
    let patches = 0;
    const front = await newServer((received, response) => {
      const { method, body } = received;
      if (method === 'PUT' && body.length > 0) return response.writeHead(413).end();
      if (method === 'PATCH') patches += 1;
      if (method === 'PATCH' && patches === 2) return response.socket?.destroy();
      return forward(received, response, registry.port);
    });
    const { client } = newClient();
    await client.pushBlob(referenceAt(front), descriptor, asPieces);
    const { body } = await client.fetchBlob(referenceAt(registry), descriptor);
    expect((await collect(body)).equals(blob)).toBe(true);
    expect(patches).toBe(4);
  });
});

/** Passes a request on as it is; the Host header stays, so that locations lead back here. */
function forward({ method, path, headers, body }: ReceivedRequest, response: ServerResponse, port: number): void {
  const onward = request({ host: '127.0.0.1', port, method, path, headers }, (answer) => {
    response.writeHead(answer.statusCode!, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', (error) => response.destroy(error));
  onward.end(body);
}
