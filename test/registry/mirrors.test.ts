import type { ServerResponse } from 'node:http';
import { describe, expect, test } from 'vitest';
import { digestOf, mediaTypes, type Reference } from '../../src/oci/index.ts';
import type { RegistryClientOptions } from '../../src/registry/index.ts';
import { type Answer, cutBody, type HostileServer, startHostileServer } from '../support/hostile-server.ts';
import {
  collect,
  failureOf,
  newCertsDir,
  newClient,
  newServer,
  noise,
  referenceAt,
  type TestClient,
  testImage,
} from './fixtures.ts';

const layer = noise(300_000);
const image = testImage(layer);
const layerDescriptor = image.blobs[1]!.descriptor;

/** Answers for one image, from its tag to its blobs. */
const serveImage: Answer = ({ method, path, headers }, response) => {
  const blob = image.blobs.find(({ descriptor }) => path.includes(descriptor.digest));
  const body = blob?.bytes ?? image.manifest;
  const offset = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
  response.writeHead(offset > 0 ? 206 : 200, {
    'content-type': blob ? mediaTypes.octetStream : mediaTypes.ociManifest,
    'content-length': body.length - offset,
    ...(offset > 0 && { 'content-range': `bytes ${offset}-${body.length - 1}/${body.length}` }),
    ...(!blob && { 'docker-content-digest': image.descriptor.digest }),
  });
  response.end(method === 'HEAD' ? undefined : body.subarray(offset));
};
const status =
  (code: number, headers: Record<string, string> = {}): Answer =>
  (_, response) =>
    response.writeHead(code, headers).end();

interface Setup extends TestClient {
  readonly upstream: HostileServer;
  readonly mirror: HostileServer;
  readonly reference: Reference;
}

/** An upstream with one mirror that is asked first. `settings`: lines of the mirror's table. */
async function setUp(
  answers: { readonly upstream?: Answer; readonly mirror: Answer },
  settings = '',
  options: RegistryClientOptions = {},
): Promise<Setup> {
  const upstream = await newServer(answers.upstream ?? serveImage);
  const mirror = await newServer(answers.mirror);
  const certsDir = await newCertsDir({
    [`127.0.0.1_${upstream.port}_/hosts.toml`]: `[host."${mirror.url}"]\n${settings}\n`,
  });
  const client = newClient({ certsDirs: [certsDir], ...options });
  return { ...client, upstream, mirror, reference: referenceAt(upstream) };
}

/** A port at which nobody listens, in a server that was closed. */
async function closedServer(): Promise<string> {
  const server = await startHostileServer(() => {});
  const { url } = server;
  await server.close();
  return url;
}

describe('a mirror', () => {
  test('is asked first, told which registry is meant, and the registry itself is not asked', async () => {
    const { client, mirror, upstream, reference } = await setUp({ mirror: serveImage });
    const resolved = await client.resolve(reference);
    expect(resolved).toMatchObject({ descriptor: image.descriptor, host: mirror.address });
    await client.fetchManifest(reference, image.descriptor.digest);
    await collect((await client.fetchBlob(reference, layerDescriptor)).body);
    const ns = `ns=127.0.0.1%3A${upstream.port}`;
    expect(mirror.log).toEqual([
      `HEAD /v2/team/app/manifests/1.0?${ns}`,
      `GET /v2/team/app/manifests/${image.descriptor.digest}?${ns}`,
      `GET /v2/team/app/blobs/${layerDescriptor.digest}?${ns}`,
    ]);
    expect(upstream.requests).toHaveLength(0);
  });

  test('that may only be pulled from never says what a tag means', async () => {
    const { client, mirror, upstream, reference } = await setUp({ mirror: serveImage }, 'capabilities = ["pull"]');
    await client.resolve(reference);
    expect([mirror.requests.length, upstream.requests.length]).toEqual([0, 1]);
    await client.resolve({ ...reference, tag: undefined, digest: image.descriptor.digest } as Reference);
    expect([mirror.requests.length, upstream.requests.length]).toEqual([1, 1]);
  });

  test.each<[string, Answer]>([
    ['404', status(404)],
    ['401 without a challenge', status(401)],
    ['403', status(403)],
    ['500', status(500)],
    ['wrong content', (_, response) => response.end('{}')],
    ['a web page', (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>')],
    ['a cut connection', (_, response) => response.socket?.destroy()],
  ])('that answers with %s is passed over', async (_, answer) => {
    const { client, upstream, reference } = await setUp({ mirror: answer });
    const resolved = await client.resolve(reference);
    expect(resolved).toMatchObject({ descriptor: image.descriptor, host: upstream.address });
    expect((await client.fetchManifest(reference, image.descriptor.digest)).bytes).toEqual(image.manifest);
    const small = image.blobs[0]!;
    expect(await client.readBlob(reference, small.descriptor, { maxBytes: 1000 })).toEqual(small.bytes);
  });

  test('that sends a web page for a layer gives none of its bytes', async () => {
    const page: Answer = (_, response) => {
      response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).write('<html>');
      response.end('Log in</html>');
    };
    const { client, upstream, reference } = await setUp({ mirror: page });
    expect((await collect((await client.fetchBlob(reference, layerDescriptor)).body)).equals(layer)).toBe(true);
    expect(upstream.requests[0]!.headers.range).toBeUndefined();
    const { client: alone } = newClient();
    const error = await failureOf(alone.fetchBlob(referenceAt(await newServer(page)), layerDescriptor));
    expect(error.data.kind).toBe('protocol');
    expect(error.message).toContain('a web page (text/html)');
  });

  test('may be somewhere below the root of its host', async () => {
    const { client, mirror, upstream, reference } = await setUp({ mirror: serveImage });
    const certsDir = await newCertsDir({
      '_default/hosts.toml': `[host."${mirror.url}/v2/project"]\noverride_path = true\n`,
    });
    const other = newClient({ certsDirs: [certsDir] });
    await other.client.resolve(reference);
    await client.resolve(reference);
    expect(mirror.log[0]).toBe(`HEAD /v2/project/team/app/manifests/1.0?ns=127.0.0.1%3A${upstream.port}`);
  });

  test('gets the headers of its table, and no host that it redirects to does', async () => {
    const storage = await newServer((_, response) => response.end(layer));
    const { client, mirror, reference } = await setUp(
      { mirror: (_, response) => response.writeHead(307, { location: `${storage.url}/layer` }).end() },
      'header = { X-Mirror-Key = "geheim", User-Agent = ["node-7"] }',
    );
    await collect((await client.fetchBlob(reference, layerDescriptor)).body);
    expect(mirror.requests[0]!.headers).toMatchObject({ 'x-mirror-key': 'geheim', 'user-agent': 'node-7' });
    expect(storage.requests[0]!.headers).not.toHaveProperty('x-mirror-key');
    expect(storage.requests[0]!.headers['user-agent']).toMatch(/^lading\//);
  });
});

describe('when no endpoint is of use', () => {
  test('the error has each with its reason, and the most telling code', async () => {
    const refused = await closedServer();
    const { client, mirror, upstream, reference } = await setUp({ mirror: status(404), upstream: status(403) });
    const error = await failureOf(client.resolve(reference));
    expect(error.code).toBe('ERR_LADING_REGISTRY_DENIED');
    expect(error.message).toContain('None of the 2 endpoints of');
    expect(error.message).toContain(`Mirror ${mirror.address} of ${upstream.address} answered 404`);
    expect(error.message).toContain(`Registry ${upstream.address} answered 403`);
    expect(error.data.endpoints!.map(({ host, code }) => [host, code])).toEqual([
      [mirror.address, 'ERR_LADING_REGISTRY_NOT_FOUND'],
      [upstream.address, 'ERR_LADING_REGISTRY_DENIED'],
    ]);
    const certsDir = await newCertsDir({ '_default/hosts.toml': `server = "${refused}"\n[host."${mirror.url}"]\n` });
    const outage = await failureOf(newClient({ certsDirs: [certsDir] }).client.resolve(reference));
    expect(outage.data).toMatchObject({ kind: 'not-found', unreachable: true });
    expect(outage.message).toMatch(/refused the connection/);
  });

  test('the error says which endpoint sent a web page', async () => {
    const page: Answer = (_, response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>');
    const { client, mirror, upstream, reference } = await setUp({ mirror: page, upstream: status(404) });
    const error = await failureOf(client.resolve(reference));
    expect(error.message).toContain(`of mirror ${mirror.address} of ${upstream.address}: the manifest cannot be used`);
  });

  test('those that may recover are asked again, in rounds', async () => {
    let mirrorFailures = 1;
    const { client, clock, mirror, upstream, reference } = await setUp({
      mirror: (request, response) =>
        mirrorFailures-- > 0 ? response.writeHead(503).end() : serveImage(request, response),
      upstream: status(404),
    });
    await client.resolve(reference);
    expect(mirror.requests).toHaveLength(2);
    expect(upstream.log.map((line) => line.split(' ')[0])).toEqual(['HEAD', 'GET']); // a HEAD's 404 is asked again by GET
    expect(clock.slept).toEqual([500]);
  });

  test('an endpoint that asks for a pause is passed over, and waited for only if need be', async () => {
    const { client, clock, mirror, upstream, reference } = await setUp({
      mirror: status(429, { 'retry-after': '7' }),
    });
    await client.resolve(reference);
    await client.resolve(reference);
    expect([mirror.requests.length, upstream.requests.length]).toEqual([1, 2]);
    expect(clock.slept).toEqual([]);
  });
});

describe('a mirror that cannot be reached', () => {
  test('comes last for a minute, but not for tags', async () => {
    const { upstream, reference } = await setUp({ mirror: serveImage });
    const refused = await closedServer();
    const certsDir = await newCertsDir({ '_default/hosts.toml': `[host."${refused}"]\n` });
    const { client, clock, records } = newClient({ certsDirs: [certsDir] });
    const hosts = async (ask: () => Promise<unknown>) => {
      records.length = 0;
      await ask();
      return records.map(({ host }) => (host === upstream.address ? 'upstream' : 'mirror'));
    };
    const byDigest = () => client.fetchManifest(reference, image.descriptor.digest);
    expect(await hosts(byDigest)).toEqual(['mirror', 'upstream']);
    expect(await hosts(byDigest)).toEqual(['upstream']);
    expect(await hosts(() => client.resolve(reference))).toEqual(['mirror', 'upstream']);
    clock.advance(60_001);
    expect(await hosts(byDigest)).toEqual(['mirror', 'upstream']);
  });
});

describe('a blob', () => {
  const cutAfter =
    (count: number): Answer =>
    (_, response: ServerResponse) =>
      cutBody(response, layer, { count });

  test('goes on at the next endpoint, at the byte where the first one failed', async () => {
    const { client, mirror, upstream, reference } = await setUp({ mirror: cutAfter(100_000) });
    const { body } = await client.fetchBlob(reference, layerDescriptor);
    expect((await collect(body)).equals(layer)).toBe(true);
    expect(mirror.requests).toHaveLength(1);
    expect(upstream.requests.map(({ headers }) => headers.range)).toEqual(['bytes=100000-']);
  });

  test('with another content is taken from the next endpoint once it has been rejected', async () => {
    const wrong = Buffer.from(layer);
    wrong[1000]! ^= 1;
    const { client, reference } = await setUp({ mirror: (_, response) => response.end(wrong) });
    const first = await client.fetchBlob(reference, layerDescriptor);
    expect(digestOf(await collect(first.body))).not.toBe(layerDescriptor.digest);
    expect(first.reject()).toBe(true);
    const second = await client.fetchBlob(reference, layerDescriptor);
    expect(digestOf(await collect(second.body))).toBe(layerDescriptor.digest);
    expect(second.reject()).toBe(false);
  });

  test('that is small and damaged at the mirror is read from the registry', async () => {
    const { client, mirror, reference } = await setUp({ mirror: (_, response) => response.end(Buffer.alloc(300_000)) });
    expect(await client.readBlob(reference, layerDescriptor, { maxBytes: 1_000_000 })).toEqual(layer);
    await client.readBlob(reference, layerDescriptor, { maxBytes: 1_000_000 });
    expect(mirror.requests).toHaveLength(1);
  });
});

describe('pushes', () => {
  test('go to the first endpoint that takes them', async () => {
    const { client, mirror, upstream, reference } = await setUp(
      { mirror: serveImage, upstream: status(201) },
      'capabilities = ["pull", "resolve"]',
    );
    await client.pushManifest(reference, image.manifest, mediaTypes.ociManifest);
    expect([mirror.requests.length, upstream.requests.length]).toEqual([0, 1]);
    const open = await setUp({ mirror: status(201) });
    await open.client.pushManifest(open.reference, image.manifest, mediaTypes.ociManifest);
    expect(open.mirror.log).toEqual([`PUT /v2/team/app/manifests/1.0?ns=127.0.0.1%3A${open.upstream.port}`]);
    expect(open.upstream.requests).toHaveLength(0);
  });

  test('are refused where the configuration leaves no place for them', async () => {
    const server = await newServer(serveImage);
    const certsDir = await newCertsDir({
      '_default/hosts.toml': `server = "${server.url}"\ncapabilities = ["pull", "resolve"]\n`,
    });
    const { client } = newClient({ certsDirs: [certsDir] });
    const error = await failureOf(client.pushManifest(referenceAt(server), image.manifest, mediaTypes.ociManifest));
    expect(error.code).toBe('ERR_LADING_REGISTRY_UNSUPPORTED');
    expect(error.hint).toContain(`${certsDir}/_default/hosts.toml`);
    expect(server.requests).toHaveLength(0);
  });
});
