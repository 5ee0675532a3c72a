import { expect, test } from 'vitest';
import { closest } from '../../src/lib/did-you-mean.ts';

const fields = ['image', 'imagePullPolicy', 'command', 'args', 'env', 'envFrom', 'name', 'ports'];

test.each([
  ['imagePullPolcy', 'imagePullPolicy'],
  ['imagePolicy', undefined],
  ['IMAGE', 'image'],
  ['iamge', 'image'],
  ['envform', 'envFrom'],
  ['nam', 'name'],
  ['port', 'ports'],
  ['zzz', undefined],
])('%s: %s', (typed, meant) => {
  expect(closest(typed, fields)).toBe(meant);
});
