import { once } from 'node:events';
import { copyFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { connect } from 'node:tls';
import { describe, expect, onTestFinished, test } from 'vitest';
import { startRegistry } from '../../src/distribution/index.ts';
import { digestOf, mediaTypes, parseReference } from '../../src/oci/index.ts';
import { RegistryClient } from '../../src/registry/index.ts';
import { createPrivateCa, opensslMissing, type PrivateCa } from '../support/private-ca.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { descriptorOf, jsonBytes, randomBlob } from './support/registry.ts';

async function privateCa(): Promise<PrivateCa> {
  const ca = await createPrivateCa();
  onTestFinished(() => ca.remove());
  return ca;
}

/** What the server shows to a connection that is made now, in hex. */
async function certificateOf(port: number, ca: Buffer): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, ca });
  await once(socket, 'secureConnect');
  const { fingerprint256 } = socket.getPeerCertificate();
  socket.destroy();
  return fingerprint256;
}

const skipped = opensslMissing ? ` (skipped: ${opensslMissing})` : '';
describe.skipIf(opensslMissing)(`https${skipped}`, () => {
  test('a client that trusts the authority pushes and pulls blobs of any size', async () => {
    const { ca, certFile, keyFile } = await privateCa();
    const registry = await startRegistry({ root: await temporaryFolder(), tls: { certFile, keyFile } });
    onTestFinished(() => registry.close());
    expect(registry.url).toBe(`https://127.0.0.1:${registry.port}`);
    const client = new RegistryClient({ credentials: async () => [], tls: { ca } });
    onTestFinished(() => client.close());
    const reference = parseReference(`${registry.address}/team/app:1`);
    for (const size of [0, 10, 300_000, 5_000_000]) {
      const bytes = randomBlob(size);
      const descriptor = descriptorOf(mediaTypes.ociLayer, bytes);
      await client.pushBlob(reference, descriptor, () => bytes);
      const { body } = await client.fetchBlob(reference, descriptor);
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      expect(digestOf(Buffer.concat(chunks))).toBe(descriptor.digest);
    }
    const bytes = jsonBytes({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] });
    const digest = await client.pushManifest(reference, bytes, mediaTypes.ociIndex);
    expect((await client.resolve(reference)).descriptor.digest).toBe(digest);
  });

  test('a renewed certificate is taken without a restart; one that cannot be used changes nothing', async () => {
    const [first, second, folder] = [await privateCa(), await privateCa(), await temporaryFolder()];
    const tls = { certFile: path.join(folder, 'tls.crt'), keyFile: path.join(folder, 'tls.key') };
    const install = async (from: PrivateCa) => {
      await copyFile(from.certFile, tls.certFile);
      await copyFile(from.keyFile, tls.keyFile);
    };
    await install(first);
    const registry = await startRegistry({ root: path.join(folder, 'registry'), tls });
    onTestFinished(() => registry.close());
    const before = await certificateOf(registry.port, first.ca);
    await install(second);
    expect(await certificateOf(registry.port, first.ca)).toBe(before);
    await registry.reload();
    const after = await certificateOf(registry.port, second.ca);
    expect(after).not.toBe(before);
    await copyFile(first.keyFile, tls.keyFile);
    await expect(registry.reload()).rejects.toMatchObject({ code: 'ERR_LADING_DISTRIBUTION_TLS' });
    expect(await certificateOf(registry.port, second.ca)).toBe(after);
  });

  test.each(['missing', 'not a certificate', 'of another key'])(
    'a certificate that is %s: a clear error',
    async (fault) => {
      const [{ certFile, keyFile }, folder] = [await privateCa(), await temporaryFolder()];
      const broken = path.join(folder, 'broken.pem');
      if (fault === 'not a certificate') await writeFile(broken, 'this is none');
      if (fault === 'of another key') await copyFile((await privateCa()).certFile, broken);
      const root = path.join(folder, 'registry');
      await expect(startRegistry({ root, tls: { certFile: broken, keyFile } })).rejects.toMatchObject({
        code: 'ERR_LADING_DISTRIBUTION_TLS',
        message: expect.stringContaining(broken),
      });
      await (await startRegistry({ root, tls: { certFile, keyFile } })).close();
    },
  );
});

test('without a certificate reload does nothing', async () => {
  const registry = await startRegistry({ root: await temporaryFolder() });
  await registry.reload();
  expect(registry.url).toBe(`http://127.0.0.1:${registry.port}`);
  await registry.close();
});
