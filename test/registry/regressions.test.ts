import type { ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { digestOf, mediaTypes, parseReference, type Reference, selectPlatform } from '../../src/oci/index.ts';
import { chunkBytes } from '../../src/registry/chunked-upload.ts';
import { type Credential, maxManifestBytes } from '../../src/registry/index.ts';
import { defaultTimeouts } from '../../src/registry/transport.ts';
import { sendJson } from '../support/hostile-server.ts';
import { startTokenServer } from '../support/token-server.ts';
import { collect, descriptorOf, failureOf, newClient, newServer, noise, referenceAt, testImage } from './fixtures.ts';

/** The checklist of what other clients have got wrong, in its order. @see registry.md 14 */

const blob = noise(200_000);
const descriptor = descriptorOf(blob);
const alice: Credential = { username: 'alice', password: 'geheim', origin: 'secret alice' };
const basic = (user: string, password: string) => `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`;
const askBasic = (response: ServerResponse) => response.writeHead(401, { 'www-authenticate': 'Basic realm="r"' }).end();

/** Sends `end` and no more of the blob from `start` on. */
function sendCut(response: ServerResponse, [start, end]: [number, number]): void {
  const rest = { 'content-range': `bytes ${start}-${blob.length - 1}/${blob.length}` };
  response.writeHead(start > 0 ? 206 : 200, { ...(start > 0 && rest), 'content-length': blob.length - start });
  response.write(blob.subarray(start, end), () => response.socket?.destroy());
}

const startOf = (range: string | undefined) => Number(/^bytes=(\d+)-$/.exec(range ?? '')?.[1] ?? 0);

test('1: what has no slash never names a registry; with one, localhost, a dot or upper case does', () => {
  const parts = (text: string) => {
    const { registry, repository, tag } = parseReference(text);
    return [registry, repository, tag];
  };
  expect(parts('localhost:5000')).toEqual(['docker.io', 'library/localhost', '5000']);
  expect(parts('localhost/x')).toEqual(['localhost', 'x', undefined]);
  expect(parts('LOCALHOST/x')).toEqual(['LOCALHOST', 'x', undefined]);
  expect(parts('a.b')).toEqual(['docker.io', 'library/a.b', undefined]);
  expect(parts('a/b')).toEqual(['docker.io', 'a/b', undefined]);
});

test('2: a storage host that wants a login is shown none, and the error says who refused', async () => {
  const storage = await newServer((_, response) => askBasic(response));
  const registry = await newServer(({ headers }, response) => {
    if (headers.authorization === undefined) return askBasic(response);
    return response.writeHead(307, { location: `${storage.url}/blob?signature=s` }).end();
  });
  const { client } = newClient({ credentials: async () => [alice] });
  const error = await failureOf(client.fetchBlob(referenceAt(registry), descriptor));
  expect(storage.requests.length).toBeGreaterThan(0);
  expect(storage.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  expect(error.data).toMatchObject({ kind: 'unauthorized', status: 401, host: storage.address, credentials: [] });
  expect(error.message).toContain(`${storage.address}, where registry ${registry.address} redirects to, answered 401`);
});

test('3: a 206 with a shifted Content-Range is not appended', async () => {
  const server = await newServer(({ headers }, response) => {
    const start = startOf(headers.range);
    if (start === 0 && server.requests.length === 1) return sendCut(response, [0, 80_000]);
    if (start === 0) return response.end(blob);
    response.writeHead(206, { 'content-range': `bytes ${start + 1}-${blob.length - 1}/${blob.length}` });
    return response.end(blob.subarray(start + 1));
  });
  const { body } = await newClient().client.fetchBlob(referenceAt(server), descriptor);
  expect((await collect(body)).equals(blob)).toBe(true);
  expect(server.requests.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=80000-', undefined]);
});

test('4: a server that ignores Range from the second part on is noticed before a byte is written', async () => {
  const server = await newServer(({ headers }, response) => {
    const start = startOf(headers.range);
    if (server.requests.length === 1) return sendCut(response, [0, 50_000]);
    if (server.requests.length === 2) return sendCut(response, [start, 120_000]);
    return response.writeHead(200, { 'content-length': blob.length }).end(blob);
  });
  const { body } = await newClient().client.fetchBlob(referenceAt(server), descriptor);
  let received = 0;
  for await (const chunk of body) {
    expect(Buffer.from(chunk).equals(blob.subarray(received, received + chunk.byteLength))).toBe(true);
    received += chunk.byteLength;
  }
  expect(received).toBe(blob.length);
  const ranges = server.requests.map(({ headers }) => headers.range);
  expect(ranges).toEqual([undefined, 'bytes=50000-', 'bytes=120000-']);
});

test.each(['announced', 'chunked'])(
  '5: a gzip layer sent with Content-Encoding: gzip is not decoded (%s)',
  async (how) => {
    const layer = gzipSync(noise(10_000));
    const server = await newServer((_, response) => {
      response.setHeader('content-encoding', 'gzip');
      if (how === 'announced') response.setHeader('content-length', layer.length);
      else response.flushHeaders();
      response.end(layer);
    });
    const described = descriptorOf(layer, mediaTypes.ociLayerGzip);
    const bytes = await newClient().client.readBlob(referenceAt(server), described, { maxBytes: 100_000 });
    expect(digestOf(bytes)).toBe(digestOf(layer));
    expect(server.requests[0]!.headers['accept-encoding']).toBe('identity');
  },
);

test('6: 429 with Retry-After: 2 makes the whole endpoint wait', async () => {
  let limited = true;
  const server = await newServer((_, response) => {
    if (limited) response.writeHead(429, { 'retry-after': '2' }).end();
    else response.end(blob);
    limited = false;
  });
  const { client, clock } = newClient();
  const askedAt: number[] = [];
  const read = async () => {
    await client.readBlob(referenceAt(server), descriptor, { maxBytes: 1_000_000 });
    askedAt.push(clock.now());
  };
  const begin = clock.now();
  await read();
  await read();
  expect(clock.slept).toEqual([2000]);
  expect(Math.min(...askedAt) - begin).toBeGreaterThanOrEqual(2000);
  expect(server.requests).toHaveLength(3);
});

test('7: a token of 5 seconds is used for a minute, and renewed once after a 401', async () => {
  const tokens = await startTokenServer({ users: {}, expiresInS: 5 });
  onTestFinished(() => tokens.close());
  const registry = await newServer(({ headers }, response) => {
    const challenge = tokens.challengeFor(headers, 'repository:team/app:pull');
    if (challenge !== undefined) return response.writeHead(401, { 'www-authenticate': challenge }).end();
    return response.end(blob);
  });
  const { client, clock } = newClient();
  const read = () => client.readBlob(referenceAt(registry), descriptor, { maxBytes: 1_000_000 });
  await read();
  clock.advance(50_000);
  await read();
  expect(tokens.requests).toHaveLength(1);
  tokens.revoke();
  await read();
  expect(tokens.requests).toHaveLength(2);
  expect(registry.requests.map(({ headers }) => headers.authorization)).toEqual([
    undefined,
    ...['Bearer token-1', 'Bearer token-1', 'Bearer token-1', 'Bearer token-2'],
  ]);
});

test('8: an attestation is not chosen, though it comes first', () => {
  const linux = { os: 'linux', architecture: 'amd64' };
  const mediaType = mediaTypes.ociManifest;
  const annotations = { 'vnd.docker.reference.type': 'attestation-manifest' };
  const unknown = { os: 'unknown', architecture: 'unknown' };
  const image = { mediaType, platform: linux };
  expect(
    selectPlatform(linux, [
      { mediaType, annotations, platform: unknown },
      { mediaType, annotations },
      { mediaType, platform: unknown },
      image,
    ]),
  ).toEqual([image]);
});

describe('mirrors', () => {
  const image = testImage();

  async function withMirror(answer: Parameters<typeof newServer>[0], credentials: readonly Credential[] = []) {
    const mirror = await newServer(answer);
    const upstream = await newServer(({ headers, method }, response) => {
      if (credentials.length > 0 && headers.authorization !== basic('alice', 'geheim')) return askBasic(response);
      response.setHeader('content-type', mediaTypes.ociManifest);
      response.setHeader('docker-content-digest', image.descriptor.digest);
      response.setHeader('content-length', image.manifest.length);
      return response.end(method === 'HEAD' ? undefined : image.manifest);
    });
    const { client, records } = newClient({ mirrors: { [upstream.address]: mirror.url } });
    return { client, records, mirror, upstream, reference: referenceAt(upstream) };
  }

  test('9: one that answers with a web page is passed over', async () => {
    const { client, mirror, upstream, reference } = await withMirror((_, response) =>
      response.writeHead(200, { 'content-type': 'text/html' }).end('<html>Sign in</html>'),
    );
    expect(await client.resolve(reference)).toMatchObject({ host: upstream.address, descriptor: image.descriptor });
    expect(mirror.requests.length).toBeGreaterThan(0);
    const { bytes } = await client.fetchManifest(reference, image.descriptor.digest);
    expect(Buffer.from(bytes).equals(image.manifest)).toBe(true);
  });

  test('10: one that wants a login is passed over, and a pull secret never sent to it', async () => {
    const { client, records, mirror, upstream, reference } = await withMirror((_, r) => askBasic(r), [alice]);
    const resolved = await client.resolve(reference, { credentials: [alice] });
    expect(resolved.host).toBe(upstream.address);
    expect(mirror.requests.length).toBeGreaterThan(0);
    expect(mirror.requests.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
    const outcomes = records.map(({ host, status }) => [host, status]);
    expect(outcomes).toContainEqual([mirror.address, 401]);
    expect(outcomes.at(-1)).toEqual([upstream.address, 200]);
    const refused = await failureOf(client.resolve(reference, { credentials: [{ ...alice, password: 'wrong' }] }));
    expect(refused.data.endpoints?.map(({ host, code }) => [host, code])).toEqual([
      [mirror.address, 'ERR_LADING_REGISTRY_UNAUTHORIZED'],
      [upstream.address, 'ERR_LADING_REGISTRY_UNAUTHORIZED'],
    ]);
  });
});

test('11: an upload goes where Location says, with its query, and without Authorization to another host', async () => {
  const storage = await newServer((_, response) => response.writeHead(201).end());
  const registry = await newServer(({ method, headers }, response) => {
    if (headers.authorization === undefined) return askBasic(response);
    if (method === 'HEAD') return response.writeHead(404).end();
    return response.writeHead(202, { location: `${storage.url}/up?state=a%2Bb&x=1` }).end();
  });
  const { client } = newClient({ credentials: async () => [alice] });
  expect(await client.pushBlob(referenceAt(registry), descriptor, () => blob)).toBe(true);
  const [put] = storage.requests;
  expect(Object.fromEntries(new URL(put!.path, storage.url).searchParams)).toEqual({
    state: 'a+b',
    x: '1',
    digest: descriptor.digest,
  });
  expect(put!.headers).not.toHaveProperty('authorization');
  expect(put!.body.equals(blob)).toBe(true);
});

test('12: a PATCH that is answered with 201 ends chunks; the blob is sent whole', async () => {
  const large = noise(chunkBytes + 1000);
  const methods: string[] = [];
  const server = await newServer(({ method, body }, response) => {
    methods.push(method);
    if (method === 'HEAD') return response.writeHead(404).end();
    if (method === 'POST') return response.writeHead(202, { location: '/up' }).end();
    if (method === 'PATCH') return response.writeHead(201, { location: '/up', range: `0-${body.length - 1}` }).end();
    const isFirst = methods.filter((name) => name === 'PUT').length === 1;
    return isFirst ? response.socket?.destroy() : response.writeHead(201).end();
  });
  await newClient().client.pushBlob(referenceAt(server), descriptorOf(large), () => large);
  expect(methods).toEqual(['HEAD', 'POST', 'PUT', 'HEAD', 'POST', 'PATCH', 'POST', 'PUT']);
  expect(server.requests.at(-1)!.body.equals(large)).toBe(true);
});

test('13: a tag that moves between HEAD and GET: what HEAD said is fetched', async () => {
  const [before, after] = [testImage(), testImage(noise(2000))];
  let current = before;
  const server = await newServer(({ path, method }, response) => {
    const asked = [before, after].find(({ descriptor: { digest } }) => path.endsWith(digest)) ?? current;
    response.setHeader('content-type', mediaTypes.ociManifest);
    response.setHeader('docker-content-digest', asked.descriptor.digest);
    response.setHeader('content-length', asked.manifest.length);
    return response.end(method === 'HEAD' ? undefined : asked.manifest);
  });
  const { client } = newClient();
  const { descriptor: resolved } = await client.resolve(referenceAt(server));
  current = after;
  const { bytes } = await client.fetchManifest(referenceAt(server), resolved.digest);
  expect(Buffer.from(bytes).equals(before.manifest)).toBe(true);
  expect(server.log).toEqual([
    'HEAD /v2/team/app/manifests/1.0',
    `GET /v2/team/app/manifests/${before.descriptor.digest}`,
  ]);
});

test('14: a manifest of 4 194 304 bytes is taken, one of 4 194 305 is not', async () => {
  const ofSize = (size: number) => {
    const { manifest } = testImage();
    return Buffer.concat([manifest, Buffer.alloc(size - manifest.length, ' ')]);
  };
  expect(maxManifestBytes).toBe(4_194_304);
  const [largest, tooLarge] = [ofSize(maxManifestBytes), ofSize(maxManifestBytes + 1)];
  const server = await newServer(({ path }, response) => {
    response.setHeader('content-type', mediaTypes.ociManifest);
    response.end(path.endsWith(digestOf(largest)) ? largest : tooLarge);
  });
  const { client } = newClient();
  const reference: Reference = referenceAt(server);
  expect((await client.fetchManifest(reference, digestOf(largest))).bytes).toHaveLength(4_194_304);
  const error = await failureOf(client.fetchManifest(reference, digestOf(tooLarge)));
  expect(error.code).toBe('ERR_LADING_REGISTRY_TOO_LARGE');
});

test('15: a connection that is idle at 90 % of a layer is given up, and the rest follows', async () => {
  expect(defaultTimeouts.idleMs).toBe(60_000);
  const at = blob.length * 0.9;
  const server = await newServer(({ headers }, response) => {
    const start = startOf(headers.range);
    if (start > 0) {
      const range = `bytes ${start}-${blob.length - 1}/${blob.length}`;
      return response.writeHead(206, { 'content-range': range }).end(blob.subarray(start));
    }
    return response.writeHead(200, { 'content-length': blob.length }).write(blob.subarray(0, at));
  });
  const { client } = newClient({ timeouts: { idleMs: 100 } });
  const { body } = await client.fetchBlob(referenceAt(server), descriptor);
  expect((await collect(body)).equals(blob)).toBe(true);
  expect(server.requests.map(({ headers }) => headers.range)).toEqual([undefined, `bytes=${at}-`]);
});

test('16: an expired login that is refused with 403 and no challenge is looked up once more', async () => {
  const passwords = ['old', 'new', 'newer'];
  let asked = 0;
  let valid = 'old';
  const server = await newServer(({ headers }, response) => {
    if (headers.authorization === undefined) return askBasic(response);
    if (headers.authorization === basic('AWS', valid)) return response.end(blob);
    const message = 'Your authorization token has expired. Reauthenticate and try again.';
    return sendJson(response, 403, { errors: [{ code: 'DENIED', message }] });
  });
  const credentials = async () => [{ username: 'AWS', password: passwords[asked++]!, origin: 'ecr' }];
  const { client } = newClient({ credentials });
  const read = () => client.readBlob(referenceAt(server), descriptor, { maxBytes: 1_000_000 });
  await read();
  valid = 'new';
  await read();
  expect(asked).toBe(2);
  valid = 'another';
  expect((await failureOf(read())).data).toMatchObject({ kind: 'unauthorized', status: 403 });
  expect(asked).toBe(3);
});
