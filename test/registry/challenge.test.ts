import { expect, test } from 'vitest';
import { parseChallenges, selectChallenge } from '../../src/registry/challenge.ts';

test('commas inside quotes belong to the value', () => {
  const line = 'Bearer realm="https://auth.test/token", service="a,b" ,scope="repository:a:pull,push"';
  expect(parseChallenges([line])).toEqual([
    { scheme: 'bearer', params: { realm: 'https://auth.test/token', service: 'a,b', scope: 'repository:a:pull,push' } },
  ]);
});

test('one line may hold several challenges, and a token68 is not a parameter', () => {
  expect(parseChallenges(['Negotiate YIIJvw+/=, Basic realm="r", Bearer realm=https://auth.test/t'])).toEqual([
    { scheme: 'negotiate', params: {} },
    { scheme: 'basic', params: { realm: 'r' } },
    { scheme: 'bearer', params: { realm: 'https://auth.test/t' } },
  ]);
});

test('a syntax fault ends its line only', () => {
  expect(parseChallenges(['Bearer realm="https://a.test",service="open', 'Basic realm="r"'])).toEqual([
    { scheme: 'bearer', params: { realm: 'https://a.test' } },
    { scheme: 'basic', params: { realm: 'r' } },
  ]);
});

test('Bearer is preferred, but not without an absolute http realm', () => {
  const select = (...lines: string[]) => selectChallenge(parseChallenges(lines));
  expect(select('Basic realm="r", Bearer realm="https://a.test/t"')?.scheme).toBe('bearer');
  expect(select('Bearer realm="/token"', 'Basic realm="r"')).toEqual({ scheme: 'basic' });
  expect(select('Bearer realm="file:///etc/passwd"')).toBeUndefined();
  expect(select('Digest realm="d", nonce="n"')).toBeUndefined();
});

test('a long hostile line is parsed in linear time', () => {
  const line = `Bearer ${'a="'.repeat(200_000)}`;
  expect(parseChallenges([line])[0]?.scheme).toBe('bearer');
  expect(parseChallenges([`Bearer a="${'\\'.repeat(200_000)}`])).toEqual([{ scheme: 'bearer', params: {} }]);
});
