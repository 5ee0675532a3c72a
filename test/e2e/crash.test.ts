import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BlobStore } from '../../src/store/index.ts';
import { type RecordingProxy, recordingProxy } from '../pull/support/recording-proxy.ts';
import { noise, pushImage, tarOf, testImage } from '../pull/support/test-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { runLading, startLading } from '../support/lading-process.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const image = testImage({
  layers: [
    // The next layer only implies `a`, whose mode is no plain one: the chain needs a fix-up layer.
    tarOf({ 'a/': '', 'a/one': noise(1_500_000, 1) }, { mode: 0o750 }),
    tarOf({ 'a/two': noise(700_000, 2) }),
    tarOf({ 'b/': '', 'b/three': 'three' }),
  ],
});
const layerSizes = new Map(image.layers.map(({ digest, size }) => [digest, size]));

/** Each place of ingest, unpacking and publication where a kill can find a pull. */
const whilePulling = [
  ...['store-locked', 'store-opened', 'store-recovered', 'layout-written', 'overlay-probed', 'lease-taken'],
  ...['ingest-opened:3', 'ingest-written', 'ingest-written:4', 'blob-verified', 'blob-synced:2', 'blob-renamed'],
  ...['blob-published:4', 'folder-opened', 'layer-entry:3', 'folder-written', 'folder-written:2', 'folder-synced'],
  ...['folder-renamed:2', 'layer-published', 'layer-published:3', 'folder-renamed:4', 'image-published'],
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
        await expectCompleted({ proxy, root, name });
      },
    );

    test.each([
      ['rmi', 'image-removed'],
      ['rmi', 'trash-taken'],
      ['rmi', 'trash-taken:4'],
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

    test('at any time of a pull, again and again', async () => {
      const { proxy, root, name } = await newNode();
      proxy.behaviour = { pieceBytes: 16 * 1024, beforePiece: () => sleep(2, true) };
      const random = generator(7);
      for (let kill = 0; kill < 10; kill += 1) {
        const there = await bytesThere(root);
        proxy.take();
        const child = startLading(['pull', name, '--root', root]);
        const exited = once(child, 'exit');
        await Promise.race([exited, sleep(100 + random(700))]);
        // Its group: without root there is a program around the one that pulls.
        if (child.exitCode === null) process.kill(-child.pid!, 'SIGKILL');
        await exited;
        await expectSound(root);
        expectOnlyTheRest(proxy, there);
      }
      await expectCompleted({ proxy, root, name });
    });

    test.each([
      ['repair-layer', (root: string) => path.join(root, 'layers', hex(image.diffIds[1]!), 'fs/a/two')],
      ['repair-blob', (root: string) => path.join(root, 'blobs/sha256', hex(image.layers[0]!.digest))],
      ['trash-taken', (root: string) => path.join(root, 'blobs/sha256', hex(image.layers[0]!.digest))],
    ])('in check --repair at %s: the next one finishes', async (at, damaged) => {
      const { root, name } = await newNode();
      await expectDone(['pull', name, '--root', root]);
      await rm(damaged(root));
      await writeFile(damaged(root), 'damaged');
      await expectKill(at, ['check', '--repair', '--root', root]);
      await expectDone(['check', '--repair', '--root', root]);
      await expectSound(root);
      expect(await listedImages(root)).toHaveLength(1);
    });

    async function newNode() {
      const proxy = await recordingProxy(registry);
      const root = path.join(await temporaryFolder(), 'node');
      return { proxy, root, name: `${proxy.address}/app:1` };
    }
  },
);

function hex(digest: string): string {
  return digest.slice(digest.indexOf(':') + 1);
}

function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
}

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

/** The next pull fetches only what is not there, and then all of it is. */
async function expectCompleted({ proxy, root, name }: { proxy: RecordingProxy; root: string; name: string }) {
  const before = await bytesThere(root);
  proxy.take();
  await expectDone(['pull', name, '--root', root]);
  expectOnlyTheRest(proxy, before);
  await expectSound(root);
  expect(await listedImages(root)).toHaveLength(1);
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
