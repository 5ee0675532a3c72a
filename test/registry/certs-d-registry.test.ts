import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseReference } from '../../src/oci/index.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { createPrivateCa, opensslMissing, type PrivateCa } from '../support/private-ca.ts';
import {
  atLoopback,
  expectPullable,
  failureOf,
  newCertsDir,
  newClient,
  noise,
  pushImage,
  testImage,
} from './fixtures.ts';

const image = testImage(noise(300_000));
const missing = dockerRegistryMissing ?? opensslMissing;

describe.skipIf(missing)(`a docker-registry that is set up in certs.d (${missing ?? 'installed'})`, () => {
  let authority: PrivateCa;
  let registry: DockerRegistry;
  beforeAll(async () => {
    authority = await createPrivateCa();
    registry = await startDockerRegistry({ tls: { ...authority, clientCaFile: authority.caFile } });
  });
  afterAll(async () => {
    await registry?.close();
    await authority?.remove();
  });

  const reference = () => parseReference(`registry.test:${registry.port}/tls/app:1.0`);
  const clientWith = (certsDir: string) => newClient({ lookup: atLoopback, certsDirs: [certsDir] });

  test('is trusted and told who we are, by hosts.toml', async () => {
    const certsDir = await newCertsDir({
      [`registry.test_${registry.port}_/hosts.toml`]: `server = "https://registry.test:${registry.port}"\nca = "ca.pem"\nclient = [["we.pem", "we-key.pem"]]\n`,
      [`registry.test_${registry.port}_/ca.pem`]: authority.ca,
      [`registry.test_${registry.port}_/we.pem`]: authority.cert,
      [`registry.test_${registry.port}_/we-key.pem`]: authority.key,
    });
    const { client } = clientWith(certsDir);
    await pushImage(client, image, reference());
    await expectPullable(client, image, reference());
  });

  test('or by docker’s names, whatever its port', async () => {
    const certsDir = await newCertsDir({
      '_default/ca.crt': authority.ca,
      '_default/client.cert': Buffer.concat([authority.cert, authority.key]),
    });
    await expectPullable(clientWith(certsDir).client, image, reference());
  });

  test('or not looked at, with skip_verify', async () => {
    const certsDir = await newCertsDir({
      '_default/hosts.toml': 'skip_verify = true\nclient = "client.pem"\n',
      '_default/client.pem': Buffer.concat([authority.cert, authority.key]),
    });
    await expectPullable(clientWith(certsDir).client, image, reference());
  });

  test('does not talk to who does not show a certificate, and its own needs the authority', async () => {
    const silent = await newCertsDir({ '_default/ca.crt': authority.ca });
    const refusal = await failureOf(clientWith(silent).client.resolve(reference()));
    expect(refusal.data).toMatchObject({ kind: 'tls', unreachable: false });
    expect(refusal.message).toContain('it wants a client certificate');
    const untrusting = await newCertsDir({ '_default/client.cert': Buffer.concat([authority.cert, authority.key]) });
    const error = await failureOf(clientWith(untrusting).client.resolve(reference()));
    expect(error.message).toContain('an authority that is not trusted here');
  });

  test('serves as the mirror of a registry that is gone', async () => {
    const certsDir = await newCertsDir({
      'gone.test/hosts.toml': `[host."https://127.0.0.1:${registry.port}"]\nca = "ca.pem"\nclient = ["client.pem"]\n`,
      'gone.test/ca.pem': authority.ca,
      'gone.test/client.pem': Buffer.concat([authority.cert, authority.key]),
    });
    const lost = newClient({ certsDirs: [certsDir] });
    await expectPullable(lost.client, image, parseReference('gone.test/tls/app:1.0'));
    expect(new Set(lost.records.map(({ host }) => host))).toEqual(new Set([`127.0.0.1:${registry.port}`]));
  });
});
