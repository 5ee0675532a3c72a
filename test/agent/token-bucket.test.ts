import { expect, test } from 'vitest';
import { TokenBucket } from '../../src/agent/token-bucket.ts';

test('a burst at once, then the steady rate', () => {
  const bucket = new TokenBucket({ perSecond: 2, burst: 3 });
  expect([0, 0, 0, 0].map((atMs) => bucket.tryTake(atMs))).toEqual([true, true, true, false]);
  expect([499, 500, 501, 1000].map((atMs) => bucket.tryTake(atMs))).toEqual([false, true, false, true]);
  expect([60_000, 60_000, 60_000, 60_000].map((atMs) => bucket.tryTake(atMs))).toEqual([true, true, true, false]);
});

test('rate 0 does not limit, burst 0 permits nothing', () => {
  const free = new TokenBucket({ perSecond: 0, burst: 0 });
  const closed = new TokenBucket({ perSecond: 5, burst: 0 });
  expect([0, 0].map((atMs) => free.tryTake(atMs))).toEqual([true, true]);
  expect([0, 99_999].map((atMs) => closed.tryTake(atMs))).toEqual([false, false]);
});
