import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { mediaTypes } from '../../../src/oci/index.ts';
import { RegistryClient } from '../../../src/registry/index.ts';
import { pushImage, tarOf, testImage } from '../../pull/support/test-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../../support/docker-registry.ts';
import { runLading } from '../../support/lading-process.ts';

const image = testImage({ layers: [tarOf({ one: '1' })] });
const signature = 'application/vnd.example.signature';

describe.skipIf(dockerRegistryMissing)(
  `what a registry has (needs: ${dockerRegistryMissing ?? 'nothing more'})`,
  () => {
    let registry: DockerRegistry;
    let name: string;

    beforeAll(async () => {
      registry = await startDockerRegistry();
      name = `${registry.address}/app`;
      for (const tag of ['b', 'a']) await pushImage(registry, 'app', tag, image);
    });
    afterAll(() => registry.close());

    test('ls-tags lists tags in order', async () => {
      expect((await runLading(['ls-tags', name])).stdout).toBe('a\nb\n');
      expect(JSON.parse((await runLading(['ls-tags', '-o', 'json', name])).stdout)).toEqual(['a', 'b']);
      expect((await runLading(['ls-tags', `${name}/nothing`])).exitCode).toBe(1);
    });

    test('referrers lists what refers to an image, also where the registry has no list', async () => {
      const none = await runLading(['referrers', `${name}:a`]);
      expect(none).toMatchObject({ exitCode: 0, stdout: '' });
      expect(none.stderr).toContain(`Nothing refers to ${name}:a (${image.manifest.digest}).`);
      const client = new RegistryClient({ credentials: async () => [] });
      const reference = { registry: registry.address, repository: 'app' };
      const empty = Buffer.from('{}');
      const config = { mediaType: mediaTypes.ociEmpty, digest: await registry.putBlob('app', empty), size: 2 };
      const { manifest: subject } = image;
      const document = {
        schemaVersion: 2,
        mediaType: mediaTypes.ociManifest,
        artifactType: signature,
        config,
        layers: [],
        subject,
      };
      const bytes = Buffer.from(JSON.stringify(document));
      const digest = await client.pushManifest({ ...reference, tag: 'sig' }, bytes, mediaTypes.ociManifest);
      await client.close();
      const table = await runLading(['referrers', `${name}:a`]);
      expect(table.stdout.split('\n')[1]).toMatch(new RegExp(`^${digest}   ${signature}   ${bytes.byteLength}B$`));
      const json = await runLading(['referrers', '-o', 'json', '--artifact-type', signature, `${name}:a`]);
      expect(JSON.parse(json.stdout)).toMatchObject([{ digest, artifactType: signature }]);
      expect((await runLading(['referrers', '--artifact-type', 'text/x', `${name}:a`])).stdout).toBe('');
    });

    test('rm-tag says when the registry cannot, and removes a digest', async () => {
      const refused = await runLading(['-v', 'rm-tag', `${name}:a`]);
      expect(refused).toMatchObject({
        exitCode: 1,
        stderr: expect.stringContaining('ERR_LADING_REGISTRY_UNSUPPORTED'),
      });
      const digest = `${name}@${image.manifest.digest}`;
      expect(await runLading(['rm-tag', digest])).toMatchObject({ exitCode: 0, stdout: `Removed: ${digest}\n` });
      expect(await runLading(['rm-tag', digest])).toMatchObject({ exitCode: 0, stderr: `${digest} is not there\n` });
    });
  },
);
