import { expect, test } from 'vitest';
import { humanAgo, humanDuration, humanSize, plural, shortDigest } from '../../src/cli/human.ts';

test.each([
  [0, '0B'],
  [999, '999B'],
  [1000, '1kB'],
  [1234, '1.23kB'],
  [12_345, '12.3kB'],
  [999_499, '999kB'],
  [999_999, '1MB'],
  [45_678_901, '45.7MB'],
  [1_500_000_000, '1.5GB'],
  [2e18, '2000PB'],
])('%d bytes are written %s', (bytes, text) => {
  expect(humanSize(bytes)).toBe(text);
});

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;

// The cases of k8s.io/apimachinery/pkg/util/duration, TestHumanDuration.
test.each([
  [0, '0s'],
  [second, '1s'],
  [70 * second, '70s'],
  [190 * second, '3m10s'],
  [70 * minute, '70m'],
  [47 * hour, '47h'],
  [49 * hour, '2d1h'],
  [8 * day + 2 * hour, '8d'],
  [367 * day, '367d'],
  [365 * 2 * day + 25 * day, '2y25d'],
  [365 * 8 * day + 2 * day, '8y'],
  [10 * minute, '10m'],
  [3 * minute, '3m'],
  [3 * hour, '3h'],
  [-5, '0s'],
])('%d ms are written %s', (ms, text) => {
  expect(humanDuration(ms)).toBe(text);
});

test('ages say that they are ages', () => {
  expect(humanAgo(0, 5 * minute + 12 * second)).toBe('5m12s ago');
  expect(humanAgo(1000, 1500)).toBe('just now');
  expect(humanAgo(5000, 0)).toBe('just now');
});

test('short digests are the first twelve hex digits', () => {
  expect(shortDigest(`sha256:0123456789abcdef${'0'.repeat(48)}`)).toBe('0123456789ab');
});

test('nouns follow their count', () => {
  expect([plural(0, 'layer'), plural(1, 'layer'), plural(2, 'layer')]).toEqual(['0 layers', '1 layer', '2 layers']);
});
