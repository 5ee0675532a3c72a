import { expect, test } from 'vitest';
import { printable, redactedPath, secretsOfUrl } from '../../src/registry/redact.ts';

test('only parameters that are known to be harmless are shown', () => {
  const url = new URL('https://u:p@store.test/v2/a/blobs/x?digest=sha256:1&X-Amz-Signature=abc&token=t&_state=s');
  expect(redactedPath(url)).toBe(
    '/v2/a/blobs/x?digest=sha256:1&X-Amz-Signature=REDACTED&token=REDACTED&_state=REDACTED',
  );
});

test('a token that is the whole query, or a name that is too strange for one, is hidden too', () => {
  const shown = (query: string) => redactedPath(new URL(`https://store.test/x?${query}`));
  expect(shown('eyJhbGciOiJIUzI1NiJ9')).toBe('/x?REDACTED');
  expect(shown('c2VjcmV0dG9rZW4==&n=5')).toBe('/x?REDACTED&n=5');
  expect(shown('__token__=exp=1~hmac=2')).toBe('/x?__token__=REDACTED');
  expect(shown(`${'a'.repeat(41)}=1`)).toBe('/x?REDACTED');
});

test('what a server puts into an address does not control a terminal', () => {
  const url = new URL('https://a.test/v2/\u001b[2J?last=%1b%5d0;x%07&n=1%0a2%F0%9F%98%80');
  expect(redactedPath(url)).toBe('/v2/%1B[2J?last=%1B]0;x%07&n=1%0A2%F0%9F%98%80');
});

test('what is hidden of an address is known in all its spellings', () => {
  const secrets = secretsOfUrl(new URL('https://store.test/x?sig=a%2Bb%20c%2Fd%3D%3D&account=somebody&n=12345678'));
  expect(secrets).toEqual(['a+b c/d==', 'a%2Bb+c%2Fd%3D%3D', 'a%2Bb%20c%2Fd%3D%3D']);
});

test('text of registries loses control characters and length', () => {
  expect(printable('a\u001b[31mb\r\nc\u202ed')).toBe('a [31mb c d');
  expect(printable('x'.repeat(600))).toHaveLength(512);
});
