import { describe, expect, test } from 'vitest';
import type { NodeEvent } from '../../src/store/index.ts';
import { hourMs, testClock, testStore } from './support/test-store.ts';

const event = (message: string, more: Partial<NodeEvent> = {}): NodeEvent => ({
  type: 'Normal',
  reason: 'Pulled',
  message,
  object: { kind: 'Pod', namespace: 'default', name: 'web', uid: 'u', fieldPath: 'spec.containers{main}' },
  ...more,
});

describe('events', () => {
  test('are listed in the order in which they happened last, those that repeat once', async () => {
    const clock = testClock();
    const store = await testStore({ now: clock.now });
    store.events.record(event('a'));
    clock.pass(1000);
    store.events.record(event('b', { type: 'Warning', hint: 'do it', data: { bytes: 3 } }));
    clock.pass(1000);
    store.events.record(event('a'));
    const [b, a] = store.events.list();
    expect(store.events.list()).toHaveLength(2);
    expect(b).toMatchObject({ ...event('b', { type: 'Warning', hint: 'do it', data: { bytes: 3 } }), count: 1 });
    expect(a).toMatchObject({ ...event('a'), count: 2, lastAtMs: a!.firstAtMs + 2000 });
    expect(store.events.list({ afterId: b!.id })).toEqual([a]);
  });

  test('can be the same although they say something else', async () => {
    const store = await testStore();
    store.events.record(event('10%'), { sameAs: 'progress' });
    store.events.record(event('20%'), { sameAs: 'progress' });
    expect(store.events.list()).toMatchObject([{ message: '20%', count: 2 }]);
  });

  test('are gone after an hour', async () => {
    const clock = testClock();
    const store = await testStore({ now: clock.now });
    store.events.record(event('a'));
    clock.pass(hourMs + 1);
    expect(store.events.list()).toEqual([]);
    store.events.record(event('b'));
    expect(store.events.list()).toMatchObject([{ message: 'b' }]);
  });

  test('are combined when more than ten similar ones come within ten minutes', async () => {
    const clock = testClock();
    const store = await testStore({ now: clock.now });
    for (let index = 0; index < 15; index += 1) store.events.record(event(`pulled in ${index}ms`));
    store.events.record(event('another', { reason: 'Started' }));
    const messages = store.events.list().map(({ message, count }) => `${message} ${count}`);
    expect(messages).toHaveLength(12);
    expect(messages.slice(-2)).toEqual(['(combined from similar events): pulled in 14ms 5', 'another 1']);
    clock.pass(11 * 60_000);
    store.events.record(event('pulled in 1s'));
    expect(store.events.list().at(-1)).toMatchObject({ message: 'pulled in 1s', count: 1 });
  });

  test('are no more than 5000', async () => {
    const store = await testStore();
    for (let index = 0; index < 5010; index += 1) {
      store.events.record(event('a', { object: { kind: 'Pod', namespace: 'default', name: 'web', uid: `u${index}` } }));
    }
    expect(store.events.list()).toHaveLength(5000);
    expect(store.events.list()[0]).toMatchObject({ object: { uid: 'u10' } });
  });
});
