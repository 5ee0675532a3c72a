import { expect, onTestFinished, test } from 'vitest';
import { type EventText, ImageGcSchedule } from '../../src/agent/index.ts';
import { CriError } from '../../src/cri/index.ts';
import { defaultImageGcPolicy, type ImageGcPolicy } from '../../src/policy/index.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

function scheduleOf(outcomes: readonly (string | Error | undefined)[], policy: ImageGcPolicy = defaultImageGcPolicy) {
  const clock = new VirtualClock();
  const events: EventText[] = [];
  const asked: string[] = [];
  const left = [...outcomes];
  const collector = {
    detect: async () => {
      asked.push('detect');
      return [];
    },
    collect: async () => {
      asked.push('collect');
      const outcome = left.shift();
      if (outcome instanceof Error) throw outcome;
      return { removed: [], freedBytes: 0n, survivors: [], images: [], error: outcome };
    },
  };
  const schedule = new ImageGcSchedule({ collector, policy, clock, onEvent: (event) => events.push(event) });
  onTestFinished(() => schedule.stop());
  schedule.start();
  return { clock, events, asked };
}

test('looks at the start and collects every five minutes', async () => {
  const { clock, events, asked } = scheduleOf([]);
  await clock.advance(299_999);
  expect(asked).toEqual(['detect']);
  await clock.advance(300_001);
  expect(asked).toEqual(['detect', 'collect', 'collect']);
  expect(events).toEqual([]);
});

test('the second failure in a row, and each after it, is an event about the node', async () => {
  const unavailable = new CriError('UNAVAILABLE', 'gone');
  const { clock, events } = scheduleOf(['one', undefined, 'two', unavailable, 'three', undefined]);
  await clock.advance(30 * 60_000);
  expect(events).toEqual(
    ['rpc error: code = Unavailable desc = gone', 'three'].map((message) => {
      return { type: 'Warning', reason: 'ImageGCFailed', message };
    }),
  );
});

test('with a threshold of 100 and no maximum age nothing is collected, but still looked at', async () => {
  const { clock, asked } = scheduleOf([], { ...defaultImageGcPolicy, highThresholdPercent: 100 });
  await clock.advance(300_000);
  expect(asked).toEqual(['detect', 'detect']);
});
