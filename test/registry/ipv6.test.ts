import { networkInterfaces } from 'node:os';
import { describe, expect, test } from 'vitest';
import { mediaTypes, parseReference } from '../../src/oci/index.ts';
import { collect, newCertsDir, newClient, newServer, noise, referenceAt, testImage } from './fixtures.ts';

const missing = Object.values(networkInterfaces())
  .flat()
  .some((address) => address?.address === '::1')
  ? undefined
  : 'this machine has no IPv6 loopback address';

describe.skipIf(missing)(`a registry at an IPv6 address (${missing ?? 'there is one'})`, () => {
  const image = testImage(noise(50_000));
  const layer = image.blobs[1]!;
  const serve = () =>
    newServer(({ path }, response) => {
      const blob = image.blobs.find(({ descriptor }) => path.includes(descriptor.digest));
      response.writeHead(200, {
        'content-type': blob ? mediaTypes.octetStream : mediaTypes.ociManifest,
        'content-length': blob?.bytes.length ?? image.manifest.length,
        ...(!blob && { 'docker-content-digest': image.descriptor.digest }),
      });
      response.end(blob?.bytes ?? image.manifest);
    }, '::1');

  test('is asked with brackets in URL and Host, over http where nothing speaks TLS', async () => {
    const server = await serve();
    const { client, records } = newClient();
    const reference = referenceAt(server);
    expect(reference.registry).toBe(`[::1]:${server.port}`);
    expect((await client.resolve(reference)).descriptor).toEqual(image.descriptor);
    const { body } = await client.fetchBlob(reference, layer.descriptor);
    expect((await collect(body)).equals(layer.bytes)).toBe(true);
    expect(server.requests[0]!.headers.host).toBe(`[::1]:${server.port}`);
    expect(records[0]!.host).toBe(`[::1]:${server.port}`);
  });

  test('is a mirror, and has one, by a folder of its name', async () => {
    const server = await serve();
    const certsDir = await newCertsDir({ '[::1]_9_/hosts.toml': `[host."http://[::1]:${server.port}"]\n` });
    const { client } = newClient({ certsDirs: [certsDir] });
    await client.resolve(parseReference('[::1]:9/team/app:1.0'));
    expect(server.log).toEqual(['HEAD /v2/team/app/manifests/1.0?ns=%5B%3A%3A1%5D%3A9']);
  });
});
