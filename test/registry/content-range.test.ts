import { expect, test } from 'vitest';
import { isRestOf, parseContentRange } from '../../src/registry/content-range.ts';

test('one range of bytes is understood', () => {
  expect(parseContentRange(['bytes 5-9/10'])).toEqual({ first: 5, last: 9, size: 10 });
  expect(parseContentRange(['bytes 5-9/*'])).toEqual({ first: 5, last: 9, size: undefined });
});

test('anything else is not', () => {
  for (const lines of [[], ['bytes 5-9/10', 'bytes 5-9/10'], ['bytes */10'], ['items 5-9/10'], ['bytes 5-/10']]) {
    expect(parseContentRange(lines)).toBeUndefined();
  }
});

test('only the whole rest will do', () => {
  const isRest = (line: string) => isRestOf(parseContentRange([line]), 5, 10);
  expect(isRest('bytes 5-9/10')).toBe(true);
  expect(isRest('bytes 5-9/*')).toBe(true);
  expect(isRest('bytes 4-9/10')).toBe(false);
  expect(isRest('bytes 5-8/10')).toBe(false);
  expect(isRest('bytes 5-9/11')).toBe(false);
});
