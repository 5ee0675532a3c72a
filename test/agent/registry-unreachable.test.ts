import { beforeEach, describe, expect, test } from 'vitest';
import {
  type CurrentDigest,
  EventRecorder,
  ImageManager,
  type KubeEvent,
  type Pod,
  parsePodManifests,
} from '../../src/agent/index.ts';
import { CriError } from '../../src/cri/index.ts';
import { FakeCri } from '../support/fake-cri.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const request = { image: 'app:1', policy: 'Always', fieldPath: undefined };
const hour = 3_600_000;

let clock: VirtualClock;
let cri: FakeCri;
let events: KubeEvent[];
let startMs: number;

beforeEach(() => {
  clock = new VirtualClock();
  cri = new FakeCri(clock);
  cri.registry.set('app:1', { id: 'sha256:new' });
  cri.node.set('app:1', { id: 'sha256:old', checkedAt: new Date(clock.now() - 2 * hour).toISOString() });
  events = [];
  startMs = clock.now();
});

function managerWith(options: ConstructorParameters<typeof ImageManager>[1] = {}): ImageManager {
  const recorder = new EventRecorder(
    () => clock.now(),
    (event) => events.push(event),
  );
  return new ImageManager({ images: cri, clock, events: recorder }, options);
}

function podWith(annotations: Record<string, string>): Pod {
  const metadata = { name: 'web', annotations };
  const spec = { containers: [{ name: 'app', image: 'app:1' }] };
  return parsePodManifests(JSON.stringify({ apiVersion: 'v1', kind: 'Pod', metadata, spec }), { file: 'pod.json' })[0]!;
}

const useCached = { 'lading.dev/when-registry-unreachable': 'use-cached' };
const unreachable = () => new CriError('UNKNOWN', 'RegistryUnavailable: connection refused');
const said = () => events.map(({ type, reason }) => `${type} ${reason}`);

describe('Always while the registry cannot be asked', () => {
  test('fails without the annotation, as in the kubelet', async () => {
    cri.failNext('pullImage', unreachable());
    expect(await managerWith().ensureImageExists(podWith({}), request)).toMatchObject({ error: 'RegistryUnavailable' });
    expect(said()).toEqual(['Normal Pulling', 'Warning Failed']);
  });

  test('uses what the node has, loudly, if the pod allows it', async () => {
    cri.failNext('pullImage', unreachable());
    const evaluation = await managerWith().ensureImageExists(podWith(useCached), request);
    expect(evaluation).toMatchObject({ imageRef: 'sha256:old', error: undefined, decision: { action: 'use-local' } });
    expect(said()).toEqual(['Normal Pulling', 'Warning Failed', 'Warning UsingCachedImage']);
    expect(events[2]!.message).toBe(
      'Registry of image "app:1" cannot be asked; using sha256:old of this node, it was last known to be current 2h0m0s ago: RegistryUnavailable: image pull failed for app:1 because the registry is unavailable: connection refused',
    );
  });

  test('and says which newer digest the registry has named, if it then could not be fetched', async () => {
    cri.node.set('app:1', { id: 'sha256:old', announced: 'sha256:bb' });
    cri.failNext('pullImage', unreachable());
    const { decision } = await managerWith().ensureImageExists(podWith(useCached), request);
    expect(events.at(-1)!.message).toContain(
      'it is not known when it was last current; the name now means docker.io/library/app@sha256:bb, which could not be fetched: Reg',
    );
    expect(decision.reasons.map(({ fact }) => fact)).toContain('newer-announced');
  });

  test('or if the node allows it and the pod does not forbid it', async () => {
    const manager = managerWith({ whenUnreachable: { useCached: true } });
    cri.failNext('pullImage', unreachable(), unreachable());
    expect(await manager.ensureImageExists(podWith({}), request)).toMatchObject({ imageRef: 'sha256:old' });
    const strict = podWith({ 'lading.dev/when-registry-unreachable': 'fail' });
    expect(await manager.ensureImageExists(strict, request)).toMatchObject({ error: 'RegistryUnavailable' });
  });

  test('also in the back-off after it, without asking again', async () => {
    const manager = managerWith();
    const pod = podWith(useCached);
    cri.failNext('pullImage', unreachable());
    await manager.ensureImageExists(pod, request);
    expect(await manager.ensureImageExists(pod, request)).toMatchObject({ imageRef: 'sha256:old' });
    expect(cri.calls.filter((call) => call.startsWith('pullImage'))).toHaveLength(1);
  });

  test('but nothing that has been unchecked for too long, and says why', async () => {
    cri.failNext('pullImage', unreachable());
    const pod = podWith({ ...useCached, 'lading.dev/use-cached-max-age': '90m' });
    const { error, decision } = await managerWith().ensureImageExists(pod, request);
    expect(error).toBe('RegistryUnavailable');
    expect(decision.reasons.at(-1)!.text).toBe(
      'The image of this node may not be used: it was last known to be current 2h0m0s ago, and the limit is 1h30m0s.',
    );
  });

  test('and nothing for whose age there is no witness, if age matters', async () => {
    cri.node.set('app:1', { id: 'sha256:old' });
    cri.failNext('pullImage', unreachable());
    const pod = podWith({ ...useCached, 'lading.dev/use-cached-max-age': '24h' });
    expect(await managerWith().ensureImageExists(pod, request)).toMatchObject({ error: 'RegistryUnavailable' });
  });

  test('nor anything that the pod has shown no credentials for', async () => {
    cri.failNext('pullImage', unreachable());
    const tracking = {
      mustAttemptPull: async () => ({ mustPull: true, result: 'mustAuthenticate' as const }),
      recordIntent: async () => {},
      recordPulled: async () => {},
      recordFailed: async () => {},
    };
    const manager = managerWith({ tracking });
    expect(await manager.ensureImageExists(podWith(useCached), request)).toMatchObject({
      error: 'RegistryUnavailable',
    });
  });

  test('nor anything at all when the node has nothing', async () => {
    cri.node.clear();
    cri.failNext('pullImage', unreachable());
    expect(await managerWith().ensureImageExists(podWith(useCached), request)).toMatchObject({
      error: 'RegistryUnavailable',
    });
  });
});

test.each(['unauthorized: access denied', 'app:1: not found', 'digest does not match'])(
  'a registry that answers "%s" is not unreachable',
  async (text) => {
    cri.failNext('pullImage', new CriError('UNKNOWN', text));
    expect(await managerWith().ensureImageExists(podWith(useCached), request)).toMatchObject({ error: 'ErrImagePull' });
  },
);

test('when the registry answers again, the node says whether what ran was stale', async () => {
  const manager = managerWith();
  const pod = podWith(useCached);
  cri.failNext('pullImage', unreachable());
  await manager.ensureImageExists(pod, request);
  await clock.advance(10_000);
  await manager.ensureImageExists(pod, request);
  expect(events.at(-1)).toMatchObject({
    reason: 'CachedImageStale',
    message:
      'Registry of image "app:1" answers again: sha256:old, which was used meanwhile, is stale; the name now means sha256:new',
  });
  await manager.ensureImageExists(pod, request);
  expect(said().filter((event) => event.includes('CachedImage'))).toEqual([
    'Warning UsingCachedImage',
    'Warning CachedImageStale',
  ]);
});

describe('while containers run on', () => {
  const answers: (string | Error)[] = [];
  const asked: { image: string; username: string | undefined; atMs: number }[] = [];
  const currentDigest: CurrentDigest = async (image, { auth }) => {
    asked.push({ image, username: auth?.username, atMs: clock.now() });
    const answer = answers.shift() ?? unreachable();
    if (answer instanceof Error) throw answer;
    return answer;
  };
  const startCached = async (pod = podWith(useCached)) => {
    answers.length = 0;
    asked.length = 0;
    cri.node.set('app:1', { id: 'sha256:old', repoDigests: ['docker.io/library/app@sha256:aa'] });
    cri.failNext('pullImage', unreachable());
    const manager = managerWith({ currentDigest });
    await manager.ensureImageExists(pod, request);
    return { manager, pod };
  };

  test('the registry is asked again in growing steps, and its first answer is told once', async () => {
    await startCached();
    await clock.advance(100_000);
    expect(asked.map(({ atMs }) => (atMs - startMs) / 1000)).toEqual([2, 6, 14, 30, 62]);
    answers.push('sha256:bb');
    await clock.advance(60_000);
    expect(events.at(-1)).toMatchObject({
      type: 'Warning',
      reason: 'CachedImageStale',
      message:
        'Registry of image "app:1" answers again: docker.io/library/app@sha256:aa, which was used meanwhile, is stale; the name now means sha256:bb',
    });
    await clock.advance(600_000);
    expect(asked).toHaveLength(6);
  });

  test('each container that has the image is told, with one question for all of them', async () => {
    const { manager, pod } = await startCached();
    for (const fieldPath of ['spec.containers{second}', 'spec.containers{second}']) {
      await manager.ensureImageExists(pod, { ...request, fieldPath });
    }
    answers.push('sha256:aa');
    await clock.advance(2000);
    const told = events.filter(({ reason }) => reason === 'CachedImageCurrent');
    expect(told.map(({ object }) => object.fieldPath)).toEqual([undefined, 'spec.containers{second}']);
    expect(asked).toHaveLength(1);
  });

  test('it may have been the current image all the time', async () => {
    await startCached();
    answers.push('sha256:aa');
    await clock.advance(2000);
    expect(events.at(-1)).toMatchObject({ type: 'Normal', reason: 'CachedImageCurrent' });
  });

  test('a registry that answers without a digest is told too', async () => {
    await startCached();
    answers.push(new CriError('NOT_FOUND', 'app:1: not found'));
    await clock.advance(2000);
    expect(events.at(-1)).toMatchObject({
      type: 'Warning',
      reason: 'CachedImageUnknown',
      message: expect.stringContaining(
        'may be stale; it does not say: rpc error: code = NotFound desc = app:1: not found',
      ),
    });
  });

  test('a container that starts meanwhile gets the answer itself', async () => {
    const { manager, pod } = await startCached();
    await clock.advance(10_000);
    await manager.ensureImageExists(pod, request);
    expect(events.at(-1)).toMatchObject({ reason: 'CachedImageStale' });
    const before = asked.length;
    await clock.advance(600_000);
    expect(asked).toHaveLength(before);
  });

  test('nobody asks for a pod that has ended', async () => {
    const { manager, pod } = await startCached();
    manager.podEnded(pod.metadata.uid);
    await clock.advance(600_000);
    expect(asked).toEqual([]);
  });
});

test('annotations that mean nothing are refused with their place', () => {
  expect(() => podWith({ 'lading.dev/when-registry-unreachable': 'cached' })).toThrow(
    /metadata\.annotations\[lading\.dev\/when-registry-unreachable\]: Unsupported value: "cached"/,
  );
  expect(() => podWith({ 'lading.dev/use-cached-max-age': 'a day' })).toThrow(/must be a duration such as 24h/);
});
