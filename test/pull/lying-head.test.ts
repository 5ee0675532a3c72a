import { expect, onTestFinished, test } from 'vitest';
import { startHostileServer } from '../support/hostile-server.ts';
import { rootMissing } from '../support/root.ts';
import { pull, reference, testNode } from './support/node.ts';
import { tarOf, testImage } from './support/test-image.ts';

const image = testImage({ layers: [tarOf({ file: 'content' })] });

test.skipIf(rootMissing)(
  'the length that a HEAD says is not kept, and costs nothing once the image is here',
  async () => {
    const server = await startHostileServer(({ method, path }, response) => {
      const index = [image.config, ...image.layers].findIndex(({ digest }) => path.endsWith(digest));
      const { mediaType, digest } = image.manifest;
      if (index < 0) response.setHeader('content-type', mediaType).setHeader('docker-content-digest', digest);
      if (method === 'HEAD') return response.setHeader('content-length', 5).end();
      response.end(image.blobs[index] ?? image.manifestBytes);
    });
    onTestFinished(() => server.close());
    const deps = await testNode();
    const name = `${server.address}/app:1`;
    await pull(deps, reference(server, 'app:1'));
    expect(deps.store.names.get(name)?.target).toEqual(image.manifest);
    expect(deps.store.images.get(image.config.digest)?.manifest).toEqual(image.manifest);
    server.requests.splice(0);
    await pull(deps, reference(server, 'app:1'));
    expect(server.log).toEqual(['HEAD /v2/app/manifests/1']);
  },
);
