import { afterEach, expect, test, vi } from 'vitest';
import { LogClock } from '../../src/runtime/log-clock.ts';

afterEach(() => {
  vi.restoreAllMocks();
});

test('has nanoseconds, never goes back, and stays with the wall clock', () => {
  const clock = new LogClock();
  const times = Array.from({ length: 1000 }, () => clock.now());
  expect(times).toEqual([...times].sort());
  for (const time of times) {
    expect(time).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
    expect(Math.abs(Date.parse(time) - Date.now())).toBeLessThan(10_000);
  }
});

test('follows the wall clock when it is set', () => {
  const clock = new LogClock();
  clock.now();
  vi.spyOn(Date, 'now').mockReturnValue(Date.UTC(2030, 1, 2, 3, 4, 5, 6));
  expect(clock.now()).toBe('2030-02-02T03:04:05.006000000Z');
});
