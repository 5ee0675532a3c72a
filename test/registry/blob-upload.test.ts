import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf } from '../../src/oci/index.ts';
import type { Credential } from '../../src/registry/index.ts';
import { type ReceivedRequest, sendJson } from '../support/hostile-server.ts';
import { descriptorOf, failureOf, newClient, newServer, noise, referenceAt } from './fixtures.ts';

const blob = noise(200_000);
const descriptor = descriptorOf(blob);
const alice: Credential = { username: 'alice', password: 'a', origin: 'secret alice' };

async function* inPieces(): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < blob.length; at += 70_000) yield blob.subarray(at, at + 70_000);
}

const pathOf = ({ method, path }: ReceivedRequest) => `${method} ${path.replace(/sha256[:%].*$/, 'DIGEST')}`;

test('POST, then PUT with the exact bytes, the query of the location kept', async () => {
  const server = await newServer(({ method }, response) => {
    if (method === 'HEAD') return response.writeHead(404).end();
    if (method === 'POST') return response.writeHead(202, { location: 'sessions/1?state=a%2Fb&x=' }).end();
    return response.writeHead(201).end();
  });
  const { client } = newClient();
  expect(await client.pushBlob(referenceAt(server), descriptor, inPieces)).toBe(true);
  expect(server.requests.map(pathOf)).toEqual([
    'HEAD /v2/team/app/blobs/DIGEST',
    'POST /v2/team/app/blobs/uploads/',
    'PUT /v2/team/app/blobs/uploads/sessions/1?state=a%2Fb&x=&digest=DIGEST',
  ]);
  expect(server.requests[2]!.body.equals(blob)).toBe(true);
  expect(server.requests[2]!.headers).toMatchObject({
    'content-length': String(blob.length),
    'content-type': 'application/octet-stream',
  });
  expect(server.requests[1]!.headers['content-length']).toBe('0');
});

test('nothing is sent when the registry has it', async () => {
  const server = await newServer((_, response) => response.writeHead(200).end());
  expect(await newClient().client.pushBlob(referenceAt(server), descriptor, inPieces)).toBe(false);
  expect(server.requests).toHaveLength(1);
});

test('a failed upload begins again, with a new session and the whole body', async () => {
  let session = 0;
  const server = await newServer(({ method, path }, response) => {
    if (method === 'HEAD') return response.writeHead(404).end();
    if (method === 'POST') {
      session += 1;
      return response.writeHead(202, { location: `/up/${session}` }).end();
    }
    if (path.startsWith('/up/1')) return response.writeHead(500).end();
    if (path.startsWith('/up/2')) return response.socket?.destroy();
    return response.writeHead(201).end();
  });
  await newClient().client.pushBlob(referenceAt(server), descriptor, inPieces);
  expect(session).toBe(3);
  expect(server.requests.at(-1)!.body.equals(blob)).toBe(true);
});

test('a session that the registry has lost is begun anew, a few times', async () => {
  let lost = 1;
  const server = await newServer(({ method }, response) => {
    if (method === 'POST') return response.writeHead(202, { location: '/up' }).end();
    if (method !== 'PUT') return response.writeHead(404).end();
    lost -= 1;
    return response.writeHead(lost >= 0 ? 404 : 201).end();
  });
  const { client } = newClient();
  expect(await client.pushBlob(referenceAt(server), descriptor, inPieces)).toBe(true);
  expect(server.requests.map(({ method }) => method)).toEqual(['HEAD', 'POST', 'PUT', 'POST', 'PUT']);
  lost = Number.POSITIVE_INFINITY;
  const error = await failureOf(client.pushBlob(referenceAt(server), descriptor, inPieces));
  expect(error.message).toMatch(/loses the upload of blob .*: it does not know the upload$/);
});

test('what the registry has after all, though its answer never came, is not sent again', async () => {
  let stored: Buffer | undefined;
  const server = await newServer(({ method, body }, response) => {
    if (method === 'POST') return response.writeHead(202, { location: '/up' }).end();
    if (method === 'HEAD') return response.writeHead(stored ? 200 : 404).end();
    stored = body;
    return response.socket?.destroy();
  });
  expect(await newClient().client.pushBlob(referenceAt(server), descriptor, inPieces)).toBe(true);
  expect(server.requests.map(({ method }) => method)).toEqual(['HEAD', 'POST', 'PUT', 'HEAD']);
});

test('a refused digest is final, and the registry is told that nothing more comes', async () => {
  const server = await newServer(({ method }, response) => {
    if (method === 'POST') return response.writeHead(202, { location: '/up/1' }).end();
    return response.writeHead(method === 'HEAD' ? 404 : 400).end();
  });
  const error = await failureOf(newClient().client.pushBlob(referenceAt(server), descriptor, inPieces));
  expect(error.data).toMatchObject({ kind: 'protocol', status: 400, unreachable: false });
  expect(server.requests.map(({ method }) => method)).toEqual(['HEAD', 'POST', 'PUT', 'DELETE']);
});

test('sha512 is announced', async () => {
  const sha512 = { ...descriptor, digest: digestOf(blob, 'sha512') };
  const server = await newServer(({ method }, response) => {
    if (method === 'POST') return response.writeHead(202, { location: '/up/1' }).end();
    return response.writeHead(method === 'HEAD' ? 404 : 201).end();
  });
  await newClient().client.pushBlob(referenceAt(server), sha512, inPieces);
  expect(server.log[1]).toBe('POST /v2/team/app/blobs/uploads/?digest-algorithm=sha512');
});

describe('a source', () => {
  const newRegistry = () =>
    newServer(({ method }, response) => {
      if (method === 'POST') return response.writeHead(202, { location: '/up/1' }).end();
      return response.writeHead(method === 'HEAD' ? 404 : 201).end();
    });

  test('that cannot be read fails the upload with its own error', async () => {
    const broken = new Error('the disk is gone');
    const source = async function* () {
      yield blob.subarray(0, 1000);
      throw broken;
    };
    const server = await newRegistry();
    const error = await failureOf(newClient().client.pushBlob(referenceAt(server), descriptor, source));
    expect(error).toBe(broken);
  });

  test('that gives too little or too much is refused here', async () => {
    for (const content of [blob.subarray(1), Buffer.concat([blob, blob])]) {
      const server = await newRegistry();
      const source = async function* () {
        yield content;
      };
      const error = await failureOf(newClient().client.pushBlob(referenceAt(server), descriptor, source));
      expect(error.data.kind).toBe('digest-mismatch');
    }
  });
});

test('a registry that refuses before it has read the body is understood', async () => {
  const large = noise(4_000_000);
  const server = createServer((request, response) => {
    if (request.method === 'POST') return response.writeHead(202, { location: '/up/1' }).end();
    if (request.method === 'HEAD') return response.writeHead(404).end();
    return response.writeHead(413).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => void server.close());
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const error = await failureOf(
    newClient().client.pushBlob(referenceAt({ address }), descriptorOf(large), () => large),
  );
  expect(error.data).toMatchObject({ kind: 'too-large', status: 413 });
});

describe('mounting', () => {
  test('links a blob of another repository', async () => {
    const server = await newServer(({ method }, response) => response.writeHead(method === 'HEAD' ? 404 : 201).end());
    const { client } = newClient();
    expect(await client.pushBlob(referenceAt(server), descriptor, inPieces, { mountFrom: 'team/base' })).toBe(false);
    expect(server.log[1]).toBe(`POST /v2/team/app/blobs/uploads/?mount=${descriptor.digest}&from=team/base`);
  });

  test.each([202, 400, 403, 405, 500])('where it is answered %d the blob is sent', async (status) => {
    const server = await newServer(({ method, path }, response) => {
      if (method !== 'POST') return response.writeHead(method === 'HEAD' ? 404 : 201).end();
      if (path.includes('mount=') && status !== 202) return response.writeHead(status).end();
      return response.writeHead(202, { location: '/up/1' }).end();
    });
    const { client } = newClient();
    expect(await client.pushBlob(referenceAt(server), descriptor, inPieces, { mountFrom: 'team/base' })).toBe(true);
    expect(server.requests).toHaveLength(status === 202 ? 3 : 4);
    expect(server.requests.at(-1)!.body.equals(blob)).toBe(true);
  });
});

test('without a right to the other repository, which the token server says already, the blob is sent', async () => {
  const tokens = await newServer(({ path }, response) => {
    if (path.includes('secret')) return sendJson(response, 403, { errors: [{ code: 'DENIED', message: 'no access' }] });
    return sendJson(response, 200, { token: 't' });
  });
  const server = await newServer(({ method, headers }, response) => {
    if (headers.authorization === undefined) {
      return response.writeHead(401, { 'www-authenticate': `Bearer realm="${tokens.url}/token"` }).end();
    }
    if (method === 'POST') return response.writeHead(202, { location: '/up/1' }).end();
    return response.writeHead(method === 'HEAD' ? 404 : 201).end();
  });
  const { client } = newClient();
  expect(await client.pushBlob(referenceAt(server), descriptor, inPieces, { mountFrom: 'secret/base' })).toBe(true);
  expect(server.requests.at(-1)!.body.equals(blob)).toBe(true);
});

describe('credentials', () => {
  test('a 401 to the body sends it again with the credential', async () => {
    const server = await newServer(({ method, headers }, response) => {
      if (method === 'PUT' && headers.authorization === undefined) {
        return response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      }
      if (method === 'POST') return response.writeHead(202, { location: '/up/1' }).end();
      return response.writeHead(method === 'HEAD' ? 404 : 201).end();
    });
    const { client } = newClient();
    await client.pushBlob(referenceAt(server), descriptor, inPieces, { credentials: [alice] });
    expect(server.requests.at(-1)!.body.equals(blob)).toBe(true);
    expect(server.requests.at(-1)!.headers.authorization).toMatch(/^Basic /);
  });

  test('a location on another host is shown none', async () => {
    const storage = await newServer((_, response) => response.writeHead(201).end());
    const server = await newServer(({ method, headers }, response) => {
      if (headers.authorization === undefined) {
        return response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();
      }
      if (method === 'POST') return response.writeHead(202, { location: `${storage.url}/put?sig=1` }).end();
      return response.writeHead(404).end();
    });
    const { client } = newClient();
    await client.pushBlob(referenceAt(server), descriptor, inPieces, { credentials: [alice] });
    expect(storage.requests[0]!.headers.authorization).toBeUndefined();
    expect(storage.requests[0]!.path).toMatch(/^\/put\?sig=1&digest=sha256/);
    expect(storage.requests[0]!.body.equals(blob)).toBe(true);
  });
});
