import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { allowedOomScore, probeOomScore } from '../../src/runtime/oom-score.ts';

test('without the privilege nothing goes below the own score', () => {
  const limits = { own: 100, mayLower: false };
  expect(allowedOomScore(-500, limits)).toBe(100);
  expect(allowedOomScore(100, limits)).toBe(100);
  expect(allowedOomScore(900, limits)).toBe(900);
  expect(allowedOomScore(undefined, limits)).toBeUndefined();
  expect(allowedOomScore(-500, { own: 100, mayLower: true })).toBe(-500);
});

test.skipIf(process.platform !== 'linux')('probing leaves the own score as it was (needs Linux)', () => {
  const before = readFileSync('/proc/self/oom_score_adj', 'utf8');
  expect(probeOomScore().own).toBe(Number(before));
  expect(readFileSync('/proc/self/oom_score_adj', 'utf8')).toBe(before);
});
