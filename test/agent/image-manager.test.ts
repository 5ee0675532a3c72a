import { beforeEach, describe, expect, test } from 'vitest';
import { EventRecorder, ImageManager, type KubeEvent } from '../../src/agent/index.ts';
import { CriError } from '../../src/cri/index.ts';
import { decidePull } from '../../src/policy/index.ts';
import { FakeCri } from '../support/fake-cri.ts';
import { emptyTaskQueue, VirtualClock } from '../support/virtual-clock.ts';
import { podOf } from './support.ts';

// The rules themselves are in the vector tables ensure-image and pull-scheduling, which run against the same class.

const pod = podOf([{ name: 'app', image: 'app:1' }]);
const request = { image: 'app:1', policy: 'Always', fieldPath: undefined };

let clock: VirtualClock;
let cri: FakeCri;
let events: KubeEvent[];
let manager: ImageManager;

beforeEach(() => {
  clock = new VirtualClock();
  cri = new FakeCri(clock);
  events = [];
  const recorder = new EventRecorder(
    () => clock.now(),
    (event) => events.push(event),
  );
  manager = new ImageManager({ images: cri, clock, events: recorder });
});

describe('giving up', () => {
  test('a pull that is given up is no failure: no event, no back-off', async () => {
    cri.registry.set('app:1', { id: 'sha256:1' });
    cri.pullMs = 5000;
    const abort = new AbortController();
    const evaluation = manager.ensureImageExists(pod, { ...request, signal: abort.signal });
    await emptyTaskQueue();
    abort.abort(new Error('stopped'));
    await expect(evaluation).rejects.toThrow('stopped');
    expect(events.map(({ reason }) => reason)).toEqual(['Pulling']);
    cri.pullMs = 0;
    expect(await manager.ensureImageExists(pod, request)).toMatchObject({ imageRef: 'sha256:1' });
  });

  test('one that waits for its turn lets go at once, and never reaches the runtime', async () => {
    cri.registry.set('app:1', { id: 'sha256:1' });
    cri.pullMs = 5000;
    const abort = new AbortController();
    const first = manager.ensureImageExists(pod, request);
    const second = manager.ensureImageExists(pod, { ...request, signal: abort.signal });
    await emptyTaskQueue();
    abort.abort(new Error('stopped'));
    await expect(second).rejects.toThrow('stopped');
    await clock.advance(20_000);
    expect(await first).toMatchObject({ imageRef: 'sha256:1' });
    expect(cri.calls.filter((call) => call.startsWith('pullImage'))).toHaveLength(1);
  });
});

describe('what comes with an evaluation', () => {
  test('the facts, and the decision with its reasons', async () => {
    cri.node.set('app:1', { id: 'sha256:1' });
    expect(await manager.ensureImageExists(pod, { ...request, policy: 'IfNotPresent' })).toMatchObject({
      decision: decidePull({ policy: 'IfNotPresent', present: true }),
      present: true,
      pullRequired: false,
      imageRef: 'sha256:1',
    });
    expect(await manager.ensureImageExists(pod, { ...request, image: 'b:1', policy: 'Never' })).toMatchObject({
      decision: decidePull({ policy: 'Never', present: false }),
      present: false,
      error: 'ErrImageNeverPull',
    });
  });

  test('errors that are none of gRPC are shown as they are', async () => {
    cri.failNext('pullImage', new TypeError('broken'), new CriError('CANCELLED', 'over'));
    expect(await manager.ensureImageExists(pod, request)).toMatchObject({ error: 'ErrImagePull', message: 'broken' });
    await clock.advance(10_000);
    expect((await manager.ensureImageExists(pod, request)).message).toBe('rpc error: code = Canceled desc = over');
  });
});
