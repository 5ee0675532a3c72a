import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestHex, digestOf, mediaTypes, parseReference } from '../../src/oci/index.ts';
import {
  type DockerRegistry,
  dockerRegistryMissing,
  htpasswdUser,
  startDockerRegistry,
} from '../support/docker-registry.ts';
import { createPrivateCa, opensslMissing, type PrivateCa } from '../support/private-ca.ts';
import {
  atLoopback,
  collect,
  expectPullable,
  failureOf,
  newClient,
  noise,
  pushImage,
  referenceAt,
  testImage,
} from './fixtures.ts';

const layer = noise(5 * 1024 * 1024);
const image = testImage(layer);
const [, layerBlob] = image.blobs;

describe.skipIf(dockerRegistryMissing)(`a docker-registry (${dockerRegistryMissing ?? 'installed'})`, () => {
  describe('over plain http on this machine', () => {
    let registry: DockerRegistry;
    beforeAll(async () => {
      registry = await startDockerRegistry();
    });
    afterAll(() => registry.close());

    test('push, resolve, fetch, resume, list, delete', async () => {
      const { client } = newClient();
      const reference = referenceAt(registry);
      await pushImage(client, image, reference);
      await expectPullable(client, image, reference);
      expect(await client.hasBlob(reference, layerBlob!.descriptor)).toBe(true);
      expect(await client.hasBlob(reference, { digest: digestOf('absent') })).toBe(false);
      const rest = await client.fetchBlob(reference, layerBlob!.descriptor, { offset: 4_000_000 });
      expect(rest.offset).toBe(4_000_000);
      expect((await collect(rest.body)).equals(layer.subarray(4_000_000))).toBe(true);
      await client.pushManifest({ ...reference, tag: '2.0' }, image.manifest, mediaTypes.ociManifest);
      expect((await client.listTags(reference)).sort()).toEqual(['1.0', '2.0']);
      const byDigest = { ...reference, digest: image.descriptor.digest };
      expect((await client.resolve(byDigest)).content).toEqual(image.manifest);
      expect(await client.deleteManifest(byDigest)).toBe(true);
      expect(await client.deleteManifest(byDigest)).toBe(false);
      const error = await failureOf(client.resolve(reference));
      expect(error.data).toMatchObject({ kind: 'not-found', registryCode: 'MANIFEST_UNKNOWN' });
    });

    test('a warm check of a tag is exactly one HEAD', async () => {
      const { client, records } = newClient();
      const reference = referenceAt(registry, 'warm/app:1.0');
      await pushImage(client, image, reference);
      const before = (await registry.requests()).length;
      records.length = 0;
      expect((await client.resolve(reference)).descriptor).toEqual(image.descriptor);
      const asked = (await registry.requests()).slice(before);
      expect(asked.map(({ method, path: where, status }) => [method, where, status])).toEqual([
        ['HEAD', '/v2/warm/app/manifests/1.0', 200],
      ]);
      expect(records).toHaveLength(1);
    });

    test('a blob is mounted from another repository', async () => {
      const { client, records } = newClient();
      await pushImage(client, image, referenceAt(registry, 'mount/from'));
      const options = { mountFrom: 'mount/from' };
      const reference = referenceAt(registry, 'mount/to');
      expect(await client.pushBlob(reference, layerBlob!.descriptor, () => layer, options)).toBe(false);
      expect(await client.hasBlob(reference, layerBlob!.descriptor)).toBe(true);
      expect(records.some(({ method, path: where }) => method === 'PUT' && where.includes('mount/to'))).toBe(false);
    });

    test('a download survives the death and return of the registry', async () => {
      const { client } = newClient();
      const reference = referenceAt(registry, 'outage/app');
      await pushImage(client, image, reference);
      const { body } = await client.fetchBlob(reference, layerBlob!.descriptor);
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) {
        if (chunks.length === 0) {
          await registry.stop();
          await registry.start();
        }
        chunks.push(chunk);
      }
      expect(Buffer.concat(chunks).equals(layer)).toBe(true);
    });

    test('a damaged manifest at the registry is noticed', async () => {
      const { client } = newClient();
      const reference = referenceAt(registry, 'damaged/app');
      await pushImage(client, image, reference);
      const hex = digestHex(image.descriptor.digest);
      const file = path.join(registry.dataFolder, 'docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data');
      await writeFile(file, image.manifest.toString().replace('"schemaVersion":2', '"schemaVersion":2 '));
      const error = await failureOf(client.fetchManifest(reference, image.descriptor.digest));
      expect(['digest-mismatch', 'server-error']).toContain(error.data.kind);
      await writeFile(file, image.manifest);
    });
  });

  describe('with passwords', () => {
    let registry: DockerRegistry;
    beforeAll(async () => {
      registry = await startDockerRegistry({ auth: 'htpasswd' });
    });
    afterAll(() => registry.close());

    test('the right one opens it, the wrong one and none do not', async () => {
      const credential = { ...htpasswdUser, origin: 'the fixture' };
      const reference = referenceAt(registry);
      const { client } = newClient({ credentials: async () => [credential] });
      await pushImage(client, image, reference);
      await expectPullable(client, image, reference);
      const wrong = { ...credential, password: 'wrong', origin: 'an old secret' };
      const refused = await failureOf(newClient().client.resolve(reference, { credentials: [wrong] }));
      expect(refused.data).toMatchObject({ kind: 'unauthorized', credentials: ['an old secret'] });
      const anonymous = await failureOf(newClient().client.resolve(reference));
      expect(anonymous.data).toMatchObject({ kind: 'unauthorized', credentials: [] });
      const { descriptor } = await newClient().client.resolve(reference, { credentials: [wrong, credential] });
      expect(descriptor).toEqual(image.descriptor);
    });
  });

  describe.skipIf(opensslMissing)('over TLS', () => {
    let authority: PrivateCa;
    let registry: DockerRegistry;
    beforeAll(async () => {
      authority = await createPrivateCa();
      registry = await startDockerRegistry({ tls: authority });
    });
    afterAll(async () => {
      await registry?.close();
      await authority?.remove();
    });

    test('on this machine any certificate will do, and http is not used', async () => {
      const { client, records } = newClient();
      await pushImage(client, image, referenceAt(registry));
      await expectPullable(client, image, referenceAt(registry));
      expect(records.every(({ status }) => status !== undefined)).toBe(true);
    });

    test('elsewhere only a trusted one', async () => {
      await pushImage(newClient().client, image, referenceAt(registry, 'tls/app:1.0'));
      const reference = parseReference(`registry.test:${registry.port}/tls/app:1.0`);
      const strict = newClient({ lookup: atLoopback });
      const error = await failureOf(strict.client.resolve(reference));
      expect(error.code).toBe('ERR_LADING_REGISTRY_TLS');
      expect(error.data).toMatchObject({ kind: 'tls', unreachable: false });
      expect(error.message).toContain('an authority that is not trusted here');
      expect(error.hint).toContain('NODE_EXTRA_CA_CERTS');
      expect(strict.records).toHaveLength(1);
      await expectPullable(newClient({ lookup: atLoopback, tls: { ca: authority.ca } }).client, image, reference);
      const otherName = parseReference(`other.test:${registry.port}/tls/app:1.0`);
      const mismatch = await failureOf(
        newClient({ lookup: atLoopback, tls: { ca: authority.ca } }).client.resolve(otherName),
      );
      expect(mismatch.message).toContain('its certificate is for another name');
    });
  });

  test('elsewhere plain http is never used', async () => {
    const registry = await startDockerRegistry();
    try {
      const { client, records } = newClient({ lookup: atLoopback });
      const error = await failureOf(client.resolve(parseReference(`registry.test:${registry.port}/app`)));
      expect(error.data.kind).toBe('tls');
      expect(error.message).toContain('does not speak TLS');
      expect(records.map(({ status }) => status)).toEqual([undefined]);
    } finally {
      await registry.close();
    }
  });
});
