import { existsSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { noise, pushImage, tarOf, testImage } from '../pull/support/test-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { runLading } from '../support/lading-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const image = testImage({
  layers: [tarOf({ 'a/': '', 'a/one': noise(1_500_000, 1) }), tarOf({ 'b/': '', 'b/two': 'two' })],
});
const unpackedBytes = 1_500_000 + 'two'.length;

describe.skipIf(dockerRegistryMissing)(
  `a node that does not keep compressed layers (needs: ${dockerRegistryMissing ?? 'nothing more'})`,
  () => {
    let registry: DockerRegistry;
    beforeAll(async () => {
      registry = await startDockerRegistry();
      await pushImage(registry, 'app', '1', image);
    });
    afterAll(() => registry.close());

    test.each(['untilUnpacked', 'never'])('%s: takes little more than the files themselves', async (policy) => {
      const { root, lading } = await newNode(policy);
      await lading('pull', '-q', `${registry.address}/app:1`);
      const rows = JSON.parse((await lading('df', '-o', 'json')).stdout) as { type: string; size: number }[];
      const sizes = Object.fromEntries(rows.map(({ type, size }) => [type, size]));
      expect(sizes).toMatchObject({ layers: unpackedBytes, ingests: 0 });
      expect(sizes.blobs).toBeLessThan(2000);
      const inspected = JSON.parse((await lading('inspect', `${registry.address}/app:1`)).stdout);
      expect(inspected.layers).toMatchObject([
        { stored: false, unpacked: true },
        { stored: false, unpacked: true },
      ]);
      await lading('check');
      await lading('gc', '--kubelet-image-gc-high-threshold-percent', '100');
      const archive = path.join(root, '..', 'app.tar');
      await lading('save', '-q', '-o', archive, `${registry.address}/app:1`);
      expect(existsSync(archive)).toBe(true);
      const after = JSON.parse((await lading('df', '-o', 'json')).stdout) as { type: string; size: number }[];
      expect(after.find(({ type }) => type === 'blobs')!.size).toBe(sizes.blobs);
      await lading('check');
    });

    test('a blob that cannot be fetched again is named', async () => {
      const { root, lading } = await newNode('never');
      await lading('pull', '-q', `${registry.address}/app:1`);
      await registry.stop();
      try {
        const file = path.join(root, '..', 'app.tar');
        const { exitCode, stderr } = await runLading([
          '-v',
          '--root',
          root,
          'save',
          '-o',
          file,
          `${registry.address}/app:1`,
        ]);
        expect({ exitCode, stderr }).toMatchObject({ exitCode: 1 });
        expect(stderr).toMatch(/ERR_LADING_BLOB_NOT_FETCHED/);
        expect(stderr).toContain('this node has the layer sha256:');
      } finally {
        await registry.start();
      }
    });

    test('limits of the configuration refuse a layer, and say which key raises them', async () => {
      const { root } = await newNode('always');
      const limits = ['--unpack-limits', '{maxLayerSize: 1000000}'];
      const { exitCode, stderr } = await runLading([
        '-v',
        '--root',
        root,
        ...limits,
        'pull',
        `${registry.address}/app:1`,
      ]);
      expect({ exitCode, stderr }).toMatchObject({ exitCode: 1 });
      expect(stderr).toMatch(/ERR_LADING_LAYER_TOO_LARGE/);
      expect(stderr).toContain('unpack.limits');
    });
  },
);

async function newNode(policy: string) {
  const root = path.join(await temporaryFolder(), 'node');
  const lading = async (...args: string[]) => {
    const result = await runLading(['--root', root, '--store-keep-compressed-layers', policy, ...args]);
    expect(result, args.join(' ')).toMatchObject({ exitCode: 0 });
    return result;
  };
  return { root, lading };
}
