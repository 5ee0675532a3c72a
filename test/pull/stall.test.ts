import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { PullDependencies, PullProgress } from '../../src/pull/index.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { startHostileServer } from '../support/hostile-server.ts';
import { rootMissing } from '../support/root.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { pull, reference, testNode } from './support/node.ts';
import { recordingProxy } from './support/recording-proxy.ts';
import { noise, pushImage, tarOf, testImage } from './support/test-image.ts';

const missing = dockerRegistryMissing ?? rootMissing;

const minute = 60_000;
const image = testImage({ layers: [tarOf({ small: 'small' }), tarOf({ big: noise(400_000, 1) })] });
const other = testImage({ layers: [tarOf({ other: noise(1000, 2) })] });
const big = image.layers[1]!;

describe.skipIf(missing)(`a pull that makes no progress (needs: ${missing ?? 'nothing more'})`, () => {
  let registry: DockerRegistry;
  beforeAll(async () => {
    registry = await startDockerRegistry();
    await pushImage(registry, 'app', '1', image);
    await pushImage(registry, 'other', '1', other);
  });
  afterAll(() => registry.close());

  test('ends after 5 minutes, although the registry takes every connection and each cut is worth another try', async () => {
    const cut = await recordingProxy(registry);
    cut.behaviour = {
      pieceBytes: 100_000,
      beforePiece: ({ blob, from, bytes }) => blob !== big.digest || from + bytes === 0,
    };
    const retry = { attempts: Number.POSITIVE_INFINITY, initialMs: 1, maxMs: 1 };
    const { deps, clock } = watched(await testNode({ registry: { retry } }));
    const pulling = pull(deps, reference(cut, 'app:1'));
    const outcome = pulling.catch((error: unknown) => error);
    await until(() => cut.passed.filter(({ blob }) => blob === big.digest).length > 5);

    await clock.advance(4 * minute);
    expect(await Promise.race([outcome, Promise.resolve('pulling')])).toBe('pulling');
    await clock.advance(minute);
    expect(await outcome).toMatchObject({
      code: 'ERR_LADING_REGISTRY_STALLED',
      message: expect.stringContaining('has brought nothing for 5 minutes'),
      data: { kind: 'stalled', unreachable: true },
    });

    cut.behaviour = {};
    cut.passed.length = 0;
    await pull(deps, reference(cut, 'app:1'));
    expect(cut.passed.find(({ blob }) => blob === big.digest)?.from, 'it goes on where it was').toBeGreaterThan(0);
  });

  test('ends also while its manifest is asked for', async () => {
    const silent = await startHostileServer(() => {});
    onTestFinished(() => silent.close());
    const { deps, clock } = watched(await testNode());
    const outcome = pull(deps, reference(silent, 'app:1')).catch((error: unknown) => error);
    await until(() => silent.requests.length > 0);
    await clock.advance(5 * minute);
    expect(await outcome).toMatchObject({ code: 'ERR_LADING_REGISTRY_STALLED' });
  });

  test('goes on for as long as bytes come, however slowly', async () => {
    const slow = await recordingProxy(registry);
    const { deps, clock } = watched(await testNode());
    let received = 0;
    slow.behaviour = {
      pieceBytes: 50_000,
      beforePiece: async ({ blob, bytes }) => {
        if (blob !== big.digest) return true;
        await until(() => received === bytes);
        await clock.advance(4 * minute);
        return true;
      },
    };
    const begun = clock.now();
    await pull(deps, reference(slow, 'app:1'), {
      onProgress(progress: PullProgress) {
        if ('layer' in progress && progress.layer === big.digest) received = progress.bytes;
      },
    });
    expect(clock.now() - begun).toBeGreaterThan(30 * minute);
  });

  test('waits for a free connection for as long as it takes', async () => {
    const full = await recordingProxy(registry);
    const { promise: freed, resolve: free } = Promise.withResolvers<boolean>();
    full.behaviour = { beforePiece: ({ blob }) => blob !== big.digest || freed };
    const node = await testNode({ registry: { limits: { perHost: 1 } } });
    const first = pull(node, reference(full, 'app:1'));
    await until(() => full.passed.some(({ blob }) => blob === big.digest));

    const { deps, clock } = watched(node);
    const second = pull(deps, reference(full, 'other:1'));
    const hasManifest = () =>
      full.passed.some(({ path, bytes }) => path.includes('/v2/other/manifests/sha256:') && bytes > 0);
    // Nobody sleeps on the clock while nothing is asked.
    await until(() => hasManifest() && clock.sleepers === 0);
    await clock.advance(60 * minute);
    free(true);
    await Promise.all([first, second]);
  });
});

function until(condition: () => boolean): Promise<unknown> {
  return vi.waitUntil(condition, { interval: 5, timeout: 20_000 });
}

function watched(node: PullDependencies): { deps: PullDependencies; clock: VirtualClock } {
  const clock = new VirtualClock();
  return { deps: { ...node, clock }, clock };
}
