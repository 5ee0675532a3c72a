import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { startHostileServer } from '../support/hostile-server.ts';
import { rootMissing } from '../support/root.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { pull, reference, testNode } from './support/node.ts';
import { noise, tarOf, testImage } from './support/test-image.ts';

const image = testImage({ layers: [tarOf({ 'etc/big': noise(500_000, 1) })] });
const content = new Map([
  [image.manifest.digest as string, image.manifestBytes],
  ...image.blobs.map((bytes, index) => [[image.config, ...image.layers][index]!.digest as string, bytes] as const),
]);

/** Answers for the image; `change` may damage what it sends. */
async function newPlace(change: (digest: string, bytes: Buffer) => Buffer) {
  const server = await startHostileServer(({ method, path: asked }, response) => {
    const name = new URL(asked, 'http://any').pathname.split('/').at(-1)!;
    const digest = content.has(name) ? name : image.manifest.digest;
    const isManifest = digest === image.manifest.digest;
    const bytes = change(digest, content.get(digest)!);
    response.writeHead(200, {
      'content-type': isManifest ? image.manifest.mediaType : 'application/octet-stream',
      'content-length': bytes.length,
      ...(isManifest && { 'docker-content-digest': digest }),
    });
    response.end(method === 'HEAD' ? undefined : bytes);
  });
  onTestFinished(() => server.close());
  return server;
}

test.skipIf(rootMissing)(
  'a layer that a mirror holds damaged is taken from the registry, within the same pull',
  async () => {
    const upstream = await newPlace((_, bytes) => bytes);
    const mirror = await newPlace((digest, bytes) => {
      if (digest !== image.layers[0]!.digest) return bytes;
      const damaged = Buffer.from(bytes);
      damaged[1000]! ^= 1;
      return damaged;
    });
    const certsDir = await temporaryFolder();
    await mkdir(path.join(certsDir, '_default'));
    await writeFile(path.join(certsDir, '_default', 'hosts.toml'), `[host."${mirror.url}"]\n`);
    const deps = await testNode({ registry: { certsDirs: [certsDir] } });
    const result = await pull(deps, reference(upstream, 'app:1'));
    expect(result.bytesFetched).toBe(2 * image.layers[0]!.size);
    expect(await deps.store.blobs.size(image.layers[0]!.digest)).toBe(image.layers[0]!.size);
    expect(upstream.log).toEqual([expect.stringContaining(`/blobs/${image.layers[0]!.digest}`)]);
  },
);
