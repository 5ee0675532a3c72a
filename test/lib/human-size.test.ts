import { expect, test } from 'vitest';
import { humanSize } from '../../src/lib/human-size.ts';

test.each([
  [0, '0B'],
  [532, '532B'],
  [999, '999B'],
  [1000, '1kB'],
  [1500, '1.5kB'],
  [1_234_567, '1.23MB'],
  [999_499, '999kB'],
  [999_500, '1MB'],
  [45_600_000_000, '45.6GB'],
  [2 ** 53, '9.01PB'],
])('%d bytes are %s', (bytes, text) => {
  expect(humanSize(bytes)).toBe(text);
});
