import { expect, test } from 'vitest';
import { Backoff, imagePullBackOff, imagePullKey } from '../../src/policy/index.ts';

test('retrying as early as possible gives the delays of pull-policy.md section 6', () => {
  const backOff = new Backoff(imagePullBackOff);
  const attempts: number[] = [];
  const delays: number[] = [];
  for (let second = 0; attempts.length < 8; second += 1) {
    if (backOff.isInBackOffSinceUpdate('k', second * 1000)) continue;
    backOff.next('k', second * 1000);
    attempts.push(second);
    delays.push(backOff.get('k') / 1000);
  }
  expect(attempts).toEqual([0, 10, 30, 70, 150, 310, 610, 910]);
  expect(delays).toEqual([10, 20, 40, 80, 160, 300, 300, 300]);
});

test('with a sync every 12 s, pulls happen at the times of the worked example', () => {
  const backOff = new Backoff(imagePullBackOff);
  const pulls: number[] = [];
  for (let second = 0; second <= 636; second += 12) {
    if (backOff.isInBackOffSinceUpdate('k', second * 1000)) continue;
    backOff.next('k', second * 1000);
    pulls.push(second);
  }
  expect(pulls).toEqual([0, 12, 36, 84, 168, 336, 636]);
});

test('the end of a delay is outside it, the end of the expiry inside', () => {
  const backOff = new Backoff(imagePullBackOff);
  backOff.next('k', 0);
  expect(backOff.isInBackOffSinceUpdate('k', 9_999)).toBe(true);
  expect(backOff.isInBackOffSinceUpdate('k', 10_000)).toBe(false);
  backOff.next('k', 600_000);
  expect(backOff.get('k')).toBe(20_000);
  backOff.next('k', 600_000 + 600_001);
  expect(backOff.get('k')).toBe(10_000);
});

test('keys are independent, and collection drops only what has expired', () => {
  const backOff = new Backoff(imagePullBackOff);
  backOff.next('a', 0);
  backOff.next('b', 500_000);
  backOff.gc(600_001);
  expect([backOff.has('a'), backOff.has('b')]).toEqual([false, true]);
  backOff.reset('b');
  expect(backOff.has('b')).toBe(false);
  expect(backOff.isInBackOffSinceUpdate('b', 500_001)).toBe(false);
});

test('pods and texts have keys of their own', () => {
  expect(imagePullKey('uid', 'app')).toBe('uid_app');
  expect(imagePullKey('uid', 'app')).not.toBe(imagePullKey('uid', 'app:latest'));
});
