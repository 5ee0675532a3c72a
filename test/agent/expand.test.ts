import { expect, test } from 'vitest';
import { expandVariables } from '../../src/agent/expand.ts';

const variables = new Map([
  ['A', '1'],
  ['B', '$(A)'],
  ['EMPTY', ''],
]);

test.each([
  ['$(A)', '1'],
  ['x$(A)y$(A)', 'x1y1'],
  ['$(B)', '$(A)'],
  ['$(EMPTY)', ''],
  ['$(MISSING)', '$(MISSING)'],
  ['$$(A)', '$(A)'],
  ['$$$(A)', '$1'],
  ['$$', '$'],
  ['$A {A} $', '$A {A} $'],
  ['$(A', '$(A'],
  ['$()', '$()'],
])('%s becomes %s', (text, expanded) => {
  expect(expandVariables(text, variables)).toBe(expanded);
});
