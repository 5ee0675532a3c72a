import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BlobStore } from '../../src/store/index.ts';
import { type RecordingProxy, recordingProxy } from '../pull/support/recording-proxy.ts';
import { noise, pushImage, tarOf, testImage } from '../pull/support/test-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { runLading } from '../support/lading-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const image = testImage({
  layers: [
    tarOf({ 'a/': '', 'a/one': noise(1_500_000, 1) }),
    tarOf({ 'a/two': noise(700_000, 2) }),
    tarOf({ 'b/': '', 'b/three': 'three' }),
  ],
});
const layerSizes = new Map(image.layers.map(({ digest, size }) => [digest, size]));

/** Each place of ingest, unpacking and publication where a kill can find a pull. */
const whilePulling = [
  ...['ingest-written', 'ingest-written:4', 'blob-verified', 'blob-synced:2', 'blob-renamed', 'blob-published:4'],
  ...[
    'folder-written',
    'folder-written:2',
    'folder-synced',
    'folder-renamed:2',
    'layer-published',
    'layer-published:3',
  ],
];

describe.skipIf(dockerRegistryMissing)(
  `the program, killed at any place (needs: ${dockerRegistryMissing ?? 'nothing more'})`,
  () => {
    let registry: DockerRegistry;
    beforeAll(async () => {
      registry = await startDockerRegistry();
      await pushImage(registry, 'app', '1', image);
    });
    afterAll(() => registry.close());

    test.each(whilePulling)(
      'at %s of a pull: the store is sound and the next pull fetches only the rest',
      async (at) => {
        const { proxy, root, name } = await newNode();
        await expectKill(at, ['pull', name, '--root', root]);
        await expectSound(root);
        const before = await bytesThere(root);
        proxy.take();
        await expectDone(['pull', name, '--root', root]);
        expectOnlyTheRest(proxy, before);
        await expectSound(root);
        expect(await listedImages(root)).toHaveLength(1);
      },
    );

    test.each([
      ['rmi', 'garbage-rows'],
      ['rmi', 'garbage-files'],
      ['gc', 'garbage-rows'],
      ['gc', 'garbage-files'],
    ])('in %s at %s: the store is sound, and the image can be removed and pulled', async (command, at) => {
      const { root, name } = await newNode();
      await expectDone(['pull', name, '--root', root]);
      await expectKill(at, command === 'rmi' ? ['rmi', name, '--root', root] : ['gc', '--root', root]);
      await expectSound(root);
      if (command === 'rmi') {
        await expectDone(['gc', '--root', root]);
        expect(await listedImages(root)).toEqual([]);
        expect([...(await bytesThere(root)).values()]).toEqual([]);
      }
      await expectDone(['pull', name, '--root', root]);
      expect(await listedImages(root)).toHaveLength(1);
      await expectSound(root);
    });

    async function newNode() {
      const proxy = await recordingProxy(registry);
      const root = path.join(await temporaryFolder(), 'node');
      return { proxy, root, name: `${proxy.address}/app:1` };
    }
  },
);

async function expectKill(at: string, args: string[]): Promise<void> {
  const { exitCode, stderr } = await runLading(args, { env: { LADING_CRASH_AT: at } });
  // A signal ended it: no exit code, or of the program around it in a user namespace that of a shell.
  const ofSignal = process.getuid?.() === 0 ? null : 137;
  expect({ exitCode, stderr }).toMatchObject({ exitCode: ofSignal });
}

async function expectDone(args: string[]): Promise<void> {
  const { exitCode, stderr } = await runLading(args);
  expect({ exitCode, stderr }).toMatchObject({ exitCode: 0 });
}

async function expectSound(root: string): Promise<void> {
  await expectDone(['check', '--root', root]);
}

async function listedImages(root: string): Promise<unknown[]> {
  const { stdout } = await runLading(['images', '-o', 'json', '--root', root]);
  const names = JSON.parse(stdout) as { imageId?: string }[];
  return [...new Set(names.map((each) => each.imageId))];
}

/** Of each layer's blob, stored or on the way. */
async function bytesThere(root: string): Promise<Map<string, number>> {
  const blobs = new BlobStore(root);
  const sizes = await Promise.all(
    image.layers.map(async ({ digest }) => {
      const bytes = (await blobs.size(digest)) ?? (await blobs.ingestSize(`blob-${digest.replace(':', '-')}`));
      return [digest, bytes] as const;
    }),
  );
  return new Map(sizes.filter(([, bytes]) => bytes > 0));
}

function expectOnlyTheRest(proxy: RecordingProxy, before: ReadonlyMap<string, number>): void {
  for (const { blob, from } of proxy.passed) {
    const size = blob && layerSizes.get(blob);
    if (size === undefined) continue;
    expect({ blob, from }).toEqual({ blob, from: before.get(blob!) ?? 0 });
    expect(from).toBeLessThan(size);
  }
}
