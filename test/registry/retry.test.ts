import { expect, test } from 'vitest';
import { backoffMs, defaultRetry, isRetryableStatus, Pause, retryAfterMs } from '../../src/registry/retry.ts';
import { FastClock } from '../support/fast-clock.ts';

test('statuses that pass are tried again, the others are not', () => {
  expect([408, 429, 499, 500, 502, 503, 504, 522].every(isRetryableStatus)).toBe(true);
  expect([200, 206, 301, 400, 401, 403, 404, 405, 413, 416, 501].some(isRetryableStatus)).toBe(false);
});

test('delays double up to the limit, with full jitter', () => {
  const limits = [1, 2, 3, 4, 7, 8].map((attempt) => backoffMs(attempt, defaultRetry, () => 1));
  expect(limits).toEqual([500, 1000, 2000, 4000, 30_000, 30_000]);
  expect(backoffMs(3, defaultRetry, () => 0)).toBe(0);
});

test('Retry-After is seconds or a date', () => {
  const now = Date.parse('2026-01-01T00:00:00Z');
  expect(retryAfterMs('120', now)).toBe(120_000);
  expect(retryAfterMs('Thu, 01 Jan 2026 00:00:30 GMT', now)).toBe(30_000);
  expect(retryAfterMs('Wed, 31 Dec 2025 00:00:00 GMT', now)).toBe(0);
  expect(retryAfterMs('soon', now)).toBeUndefined();
  expect(retryAfterMs(undefined, now)).toBeUndefined();
});

test('a pause holds for its host, and the longer one counts', async () => {
  const clock = new FastClock();
  const pause = new Pause(clock);
  pause.extend('a.test', 3000);
  pause.extend('a.test', 1000);
  await pause.wait('b.test');
  expect(clock.slept).toEqual([]);
  await pause.wait('a.test');
  await pause.wait('a.test');
  expect(clock.slept).toEqual([3000]);
});
