import { describe, expect, test } from 'vitest';
import { Digester, digestAlgorithm, digestHex, digestOf, isDigest, parseDigest } from '../../src/oci/index.ts';

const empty = 'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

describe('parseDigest', () => {
  test.each([empty, `sha384:${'a'.repeat(96)}`, `sha512:${'a'.repeat(128)}`])('accepts %s', (text) => {
    expect(parseDigest(text)).toBe(text);
    expect(`${digestAlgorithm(parseDigest(text))}:${digestHex(parseDigest(text))}`).toBe(text);
  });

  test.each([
    ['', 'INVALID_FORMAT'],
    ['sha256', 'INVALID_FORMAT'],
    ['sha256:xyz', 'INVALID_FORMAT'],
    [`${empty}\n`, 'INVALID_FORMAT'],
    [empty.toUpperCase().replace('SHA', 'sha'), 'INVALID_FORMAT'],
    ['sha256:', 'INVALID_LENGTH'],
    [`${empty}0`, 'INVALID_LENGTH'],
    [`md5:${'0'.repeat(32)}`, 'UNSUPPORTED'],
    [`blake3:${'0'.repeat(64)}`, 'UNSUPPORTED'],
  ])('refuses %j as %s', (text, kind) => {
    expect(() => parseDigest(text)).toThrow(expect.objectContaining({ code: `ERR_LADING_DIGEST_${kind}` }));
    expect(isDigest(text)).toBe(false);
  });
});

test('hashing at once and in pieces gives the same', () => {
  expect(digestOf('')).toBe(empty);
  const digester = new Digester('sha512');
  digester.update(Buffer.from('ab'));
  digester.update(Buffer.from('c'));
  expect(digester.size).toBe(3);
  expect(digester.digest()).toBe(digestOf('abc', 'sha512'));
});
