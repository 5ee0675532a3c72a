import { expect, test } from 'vitest';
import { parseGoDuration } from '../../src/lib/go-duration.ts';

test.each([
  ['0', 0],
  ['300ms', 300],
  ['1m30s', 90_000],
  ['1.5h', 5_400_000],
  ['.5s', 500],
  ['1.s', 1000],
  ['-2s', -2000],
  ['+2s', 2000],
  ['250us', 0.25],
  ['1µs', 0.001],
  ['100ns', 0.0001],
])('%s', (text, ms) => {
  expect(parseGoDuration(text)).toBeCloseTo(ms, 9);
});

test.each(['', '1', 's', '1 s', '1d', '.s', '1m30', '--1s', '1e3s'])('%j is none', (text) => {
  expect(parseGoDuration(text)).toBeUndefined();
});
