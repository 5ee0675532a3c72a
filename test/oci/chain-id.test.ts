import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { chainIds, digestOf } from '../../src/oci/index.ts';

test('a chain id names a layer together with all below it', () => {
  const [a, b, c] = [digestOf('a'), digestOf('b'), digestOf('c')];
  const sha256 = (text: string) => `sha256:${createHash('sha256').update(text).digest('hex')}`;
  const second = sha256(`${a} ${b}`);
  expect(chainIds([a, b, c])).toEqual([a, second, sha256(`${second} ${c}`)]);
  expect(chainIds([])).toEqual([]);
  expect(chainIds([b, a])[1]).not.toBe(second);
});
