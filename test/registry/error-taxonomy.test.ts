import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { startRegistry } from '../../src/distribution/index.ts';
import { mediaTypes, parseReference, type Reference } from '../../src/oci/index.ts';
import type { RegistryClientOptions, RegistryError } from '../../src/registry/index.ts';
import { type Answer, type HostileServer, startHostileServer } from '../support/hostile-server.ts';
import { createPrivateCa, opensslMissing, type PrivateCa } from '../support/private-ca.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { atLoopback, collect, failureOf, newClient, newServer, pushImage, referenceAt, testImage } from './fixtures.ts';

/** Whatever can go wrong between here and a registry: each has a code, a sentence and a next step of its own. */

const image = testImage();

async function resolveFailure(reference: Reference, options: RegistryClientOptions = {}): Promise<RegistryError> {
  return failureOf(newClient({ retry: { attempts: 1 }, ...options }).client.resolve(reference));
}

function expectTold(error: RegistryError, code: string, message: RegExp, hint: RegExp): void {
  expect(error.code).toBe(`ERR_LADING_REGISTRY_${code}`);
  expect(error.message).toMatch(message);
  expect(error.hint).toMatch(hint);
}

describe('no connection', () => {
  test('no such host', async () => {
    const error = await resolveFailure(parseReference('no-such-registry.invalid/app'));
    expectTold(
      error,
      'NO_SUCH_HOST',
      /registry no-such-registry\.invalid for the manifest app:latest: /,
      /name servers/,
    );
  });

  test('refused', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => server.once('listening', resolve));
    const { port } = server.address() as { port: number };
    await new Promise((resolve) => server.close(resolve));
    const error = await resolveFailure(parseReference(`127.0.0.1:${port}/app`));
    expectTold(error, 'REFUSED', /it refused the connection/, /that its port is right/);
  });

  test('time-out', async () => {
    const server = await newServer(() => {});
    const error = await resolveFailure(referenceAt(server), { timeouts: { quickAnswerMs: 50 } });
    expectTold(error, 'TIMEOUT', /it did not answer in time/, /firewall, proxy, network/);
  });

  test('no TLS', async () => {
    const server = await newServer((_, response) => response.end());
    const error = await resolveFailure(parseReference(`registry.test:${server.port}/app`), { lookup: atLoopback });
    expectTold(error, 'TLS', /what answers there does not speak TLS/, /one that speaks http can be configured/);
  });
});

describe.skipIf(opensslMissing)('certificates', () => {
  let valid: PrivateCa;
  let expired: PrivateCa;
  beforeAll(async () => {
    [valid, expired] = await Promise.all([createPrivateCa(), createPrivateCa({ days: -1 })]);
  });
  afterAll(async () => {
    await valid.remove();
    await expired.remove();
  });

  async function failureAt(name: string, certificate: PrivateCa, trust: PrivateCa | undefined): Promise<RegistryError> {
    const server = await startHostileServer((_, response) => response.writeHead(404).end(), certificate);
    onTestFinished(() => server.close());
    const tls = trust ? { ca: trust.ca } : {};
    const error = await resolveFailure(parseReference(`${name}:${server.port}/app`), { lookup: atLoopback, tls });
    expect(server.requests).toEqual([]);
    return error;
  }

  test('of an unknown authority', async () => {
    const error = await failureAt('registry.test', valid, undefined);
    expectTold(error, 'TLS', /an authority that is not trusted here/, /^Add the authority to the system's/);
  });

  test('that has expired', async () => {
    const error = await failureAt('registry.test', expired, expired);
    expectTold(error, 'TLS', /its certificate has expired/, /must renew it; check the clock/);
  });

  test('and an old version of TLS', async () => {
    const old = { ...valid, maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } as PrivateCa;
    const error = await failureAt('registry.test', old, valid);
    expectTold(
      error,
      'TLS',
      /: TLS failed: tlsv1 alert protocol version \(ERR_SSL_/,
      /^Lading speaks TLS 1\.2 and 1\.3/,
    );
  });

  test('for another name', async () => {
    const error = await failureAt('other.test', valid, valid);
    expectTold(
      error,
      'TLS',
      /its certificate is for another name: registry\.test, 127\.0\.0\.1 /,
      /^Ask for the registry by/,
    );
  });
});

describe('a refusal', () => {
  const answering = (status: number, headers: Record<string, string> = {}): Promise<HostileServer> =>
    newServer((_, response) => response.writeHead(status, headers).end());

  test('401, when no credentials were sent', async () => {
    const error = await resolveFailure(referenceAt(await answering(401, { 'www-authenticate': 'Basic realm="r"' })));
    expectTold(error, 'UNAUTHORIZED', /asked without credentials/, /^Log in to .*imagePullSecret/);
    expect(error.data).toMatchObject({ status: 401, credentials: [], unreachable: false });
  });

  test('401, when no login that is known here would do', async () => {
    const credentials = async () => [{ username: 'a', password: 'geheim', origin: 'docker config.json (/x)' }];
    for (const challenge of ['Digest realm="r", nonce="n"', 'Bearer realm="/relative"']) {
      const server = await answering(401, { 'www-authenticate': challenge });
      const error = await resolveFailure(referenceAt(server), { credentials });
      expectTold(error, 'UNAUTHORIZED', /asked without credentials/, /^It wants a login by (digest|bearer); Lading/);
    }
  });

  test('401, when these were refused: where they came from', async () => {
    const server = await answering(401, { 'www-authenticate': 'Basic realm="r"' });
    const credentials = async () => [{ username: 'a', password: 'geheim', origin: 'docker config.json (/x)' }];
    const error = await resolveFailure(referenceAt(server), { credentials });
    expectTold(error, 'UNAUTHORIZED', /asked with docker config\.json \(\/x\)/, /may be wrong or expired/);
    expect(error.message).not.toContain('geheim');
  });

  test('403', async () => {
    expectTold(await resolveFailure(referenceAt(await answering(403))), 'DENIED', /answered 403 Forbidden/, /Log in/);
  });

  test('429', async () => {
    const error = await resolveFailure(referenceAt(await answering(429, { 'retry-after': '120' })));
    expectTold(error, 'RATE_LIMITED', /it asks to wait 120 s/, /Try again in 120 s/);
    expect(error.data).toMatchObject({ unreachable: true, retryAfterMs: 120_000 });
  });

  test('5xx', async () => {
    const error = await resolveFailure(referenceAt(await answering(503)));
    expectTold(error, 'SERVER_ERROR', /answered 503 Service Unavailable/, /a problem of its own; try again later/);
    expect(error.data.unreachable).toBe(true);
  });
});

test('404 of a repository, and of a tag', async () => {
  const registry = await startRegistry({ root: await temporaryFolder() });
  onTestFinished(() => registry.close());
  await pushImage(newClient().client, image, referenceAt(registry));
  const noRepository = await resolveFailure(referenceAt(registry, 'other/app:1'));
  expectTold(noRepository, 'NOT_FOUND', /NAME_UNKNOWN: repository name not known/, /There is no such repository/);
  const noTag = await resolveFailure(referenceAt(registry, 'team/app:2'));
  expectTold(noTag, 'NOT_FOUND', /MANIFEST_UNKNOWN: manifest unknown/, /spelling of the tag; lading ls-tags/);
});

describe('content', () => {
  const withManifest = (type: string, body: string | Buffer): Promise<HostileServer> => {
    const answer: Answer = (_, response) => response.writeHead(200, { 'content-type': type }).end(body);
    return newServer(answer);
  };

  test('with another digest', async () => {
    const server = await withManifest(mediaTypes.ociManifest, `${image.manifest} `);
    const error = await failureOf(newClient().client.fetchManifest(referenceAt(server), image.descriptor.digest));
    expectTold(error, 'DIGEST_MISMATCH', /its content has the digest sha256:/, /changes or damages content/);
  });

  test('that ends early, again and again', async () => {
    const layer = image.blobs[1]!;
    const server = await newServer((_, response) => {
      response.writeHead(200, { 'content-length': layer.bytes.length });
      response.write(layer.bytes.subarray(0, 10), () => response.socket?.destroy());
    });
    const { client } = newClient({ retry: { attempts: 1 } });
    const { body } = await client.fetchBlob(referenceAt(server), layer.descriptor);
    const error = await failureOf(collect(body));
    expectTold(
      error,
      'TRUNCATED',
      /^Incomplete answer from registry .* at 10 of 1000 bytes/,
      /ends connections; try again/,
    );
  });

  test.each([
    ['text/html', '<html>', 'ERR_LADING_MANIFEST_INVALID', /it is a web page \(text\/html\)/],
    [
      'application/vnd.docker.distribution.manifest.v1+prettyjws',
      '{"schemaVersion":1}',
      'ERR_LADING_MANIFEST_SCHEMA1',
      /no longer supported|schema 1/i,
    ],
  ])('of the type %s', async (type, body, code, message) => {
    const error = await resolveFailure(referenceAt(await withManifest(type, body)));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(message);
  });
});
