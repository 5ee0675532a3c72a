import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SharedPulls } from '../../src/pull/index.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { rootMissing } from '../support/root.ts';
import { reference, testNode } from './support/node.ts';
import { type RecordingProxy, recordingProxy } from './support/recording-proxy.ts';
import { noise, pushImage, tarOf, testImage } from './support/test-image.ts';

const missing = dockerRegistryMissing ?? rootMissing;

const image = testImage({ layers: [tarOf({ base: 'base' }), tarOf({ big: noise(1_000_000, 1) })] });
const other = testImage({ layers: [tarOf({ base: 'base' }), tarOf({ other: 'other' })] });

describe.skipIf(missing)(`SharedPulls (needs: ${missing ?? 'nothing more'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
  });
  afterAll(() => registry.close());

  test('ten equal pulls at once ask the registry once, and each has its own answer and progress', async () => {
    await pushImage(registry, 'ten', '1', image);
    const proxy = await recordingProxy(registry);
    const pulls = new SharedPulls(await testNode());
    const published = Array.from({ length: 10 }, () => 0);
    const results = await Promise.all(
      published.map((_, index) =>
        pulls.pull(reference(proxy, 'ten:1'), {
          onProgress: ({ state }) => {
            if (state === 'published') published[index]! += 1;
          },
        }),
      ),
    );
    expect(results.map(({ imageId }) => imageId)).toEqual(published.map(() => image.config.digest));
    expect(published).toEqual(published.map(() => 1));
    expect(requests(proxy)).toEqual(seriesOf('ten', '1'));
  });

  test('who comes while the download runs joins it, and gets a failure as it is', async () => {
    await pushImage(registry, 'late', '1', image);
    const proxy = await recordingProxy(registry);
    const pulls = new SharedPulls(await testNode());
    const late = Promise.withResolvers<unknown>();
    proxy.behaviour = {
      beforePiece: () => {
        late.resolve(pulls.pull(reference(proxy, 'late:1')));
        return true;
      },
    };
    const first = pulls.pull(reference(proxy, 'late:1'));
    expect(await late.promise).toEqual(await first);
    expect(requests(proxy)).toEqual(seriesOf('late', '1'));

    const absent = [1, 2, 3].map(() => pulls.pull(reference(proxy, 'late:absent')));
    for (const { status } of await Promise.allSettled(absent)) expect(status).toBe('rejected');
    // The GET is for the reason, which an answer to HEAD does not have.
    expect(proxy.take()).toEqual(['HEAD', 'GET'].map((method) => `${method} /v2/late/manifests/absent`));
  });

  test('a pull after another asks the registry again, and sees that the tag has moved', async () => {
    await pushImage(registry, 'moved', '1', image);
    const proxy = await recordingProxy(registry);
    const pulls = new SharedPulls(await testNode());
    await pulls.pull(reference(proxy, 'moved:1'));
    await pushImage(registry, 'moved', '1', other);
    expect((await pulls.pull(reference(proxy, 'moved:1'))).imageId).toBe(other.config.digest);
  });

  test('who leaves does not take the others along; when the last has left the pull ends', async () => {
    await pushImage(registry, 'left', '1', image);
    const proxy = await recordingProxy(registry);
    const pulls = new SharedPulls(await testNode());
    const [leaving, staying] = [new AbortController(), new AbortController()];
    const stayed = Promise.withResolvers<unknown>();
    proxy.behaviour = {
      beforePiece: () => {
        stayed.resolve(pulls.pull(reference(proxy, 'left:1'), { signal: staying.signal }));
        leaving.abort(new Error('gone'));
        return true;
      },
    };
    await expect(pulls.pull(reference(proxy, 'left:1'), { signal: leaving.signal })).rejects.toThrow('gone');
    expect(await stayed.promise).toMatchObject({ imageId: image.config.digest });
  });

  test('with other credentials the registry is asked again', async () => {
    await pushImage(registry, 'own', '1', image);
    const proxy = await recordingProxy(registry);
    const pulls = new SharedPulls(await testNode());
    const credentials = ['a', 'b'].map((username) => [{ username, password: 'x', origin: 'test' }]);
    await Promise.all(credentials.map((own) => pulls.pull(reference(proxy, 'own:1'), { credentials: own })));
    const seen = requests(proxy);
    expect(seen.filter((request) => request === 'HEAD /v2/own/manifests/1')).toHaveLength(2);
    for (const { digest } of image.layers) {
      expect(seen.filter((request) => request.endsWith(digest))).toHaveLength(1);
    }
  });
});

function requests(proxy: RecordingProxy): string[] {
  return proxy.take().sort();
}

/** What one cold pull of `image` asks for. */
function seriesOf(repository: string, tag: string): string[] {
  const blobs = [image.config, ...image.layers].map(({ digest }) => `GET /v2/${repository}/blobs/${digest}`);
  const manifests = [
    `HEAD /v2/${repository}/manifests/${tag}`,
    `GET /v2/${repository}/manifests/${image.manifest.digest}`,
  ];
  return [...blobs, ...manifests].sort();
}
