import { PerformanceObserver } from 'node:perf_hooks';
import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { freeMemory } from '../../src/lib/free-memory.ts';

test('pieces of one chunk are counted for the garbage collector as one chunk', async () => {
  let collections = 0;
  const observer = new PerformanceObserver((list) => {
    collections += list.getEntries().length;
  });
  observer.observe({ entryTypes: ['gc'] });
  for (let count = 0; count < 4; count += 1) {
    const chunk = new Uint8Array(1024 * 1024);
    for (let at = 0; at < chunk.length; at += 1024) freeMemory(chunk.subarray(at, at + 1024));
  }
  await setTimeout(10);
  observer.disconnect();
  expect(collections).toBeLessThan(50);
});
