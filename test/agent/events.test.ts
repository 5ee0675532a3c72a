import { expect, test } from 'vitest';
import { EventRecorder, type KubeEvent } from '../../src/agent/index.ts';
import { podOf } from './support.ts';

const failed = { type: 'Warning', reason: 'Failed', message: 'Error: x' } as const;

test('equal events of one object are counted, others are not', () => {
  let now = 100;
  const events: KubeEvent[] = [];
  const recorder = new EventRecorder(
    () => now++,
    (event) => events.push(event),
  );
  const [one, two] = [podOf([{ name: 'a', image: 'i' }], {}, 'one'), podOf([{ name: 'a', image: 'i' }], {}, 'two')];
  recorder.record(one, 'spec.containers{a}', failed);
  recorder.record(one, 'spec.containers{a}', failed);
  recorder.record(one, undefined, failed);
  recorder.record(two, 'spec.containers{a}', failed);
  recorder.record(one, 'spec.containers{a}', { ...failed, message: 'Error: y' });
  recorder.record(one, 'spec.containers{a}', failed);
  expect(events.map(({ count, atMs }) => [count, atMs])).toEqual([
    [1, 100],
    [2, 101],
    [1, 102],
    [1, 103],
    [1, 104],
    [3, 105],
  ]);
  expect(events[0]).toMatchObject({
    ...failed,
    object: { kind: 'Pod', namespace: 'default', name: 'one', uid: one.metadata.uid, fieldPath: 'spec.containers{a}' },
  });
  expect(events[2]!.object).not.toHaveProperty('fieldPath');
});

test('what has been quiet for longest is forgotten first', () => {
  const events: KubeEvent[] = [];
  const recorder = new EventRecorder(Date.now, (event) => events.push(event));
  const pod = podOf([{ name: 'a', image: 'i' }]);
  const record = (text: string) => recorder.record(pod, undefined, { ...failed, message: text });
  for (const text of ['old', 'kept', 'kept']) record(text);
  for (let index = 0; index < 4095; index++) record(String(index));
  events.length = 0;
  for (const text of ['kept', 'old']) record(text);
  expect(events.map(({ count }) => count)).toEqual([3, 1]);
});
