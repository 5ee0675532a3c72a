import { describe, expect, test } from 'vitest';
import { goBase64 } from '../../../src/policy/credentials/go-base64.ts';
import { BadPattern, goGlob } from '../../../src/policy/credentials/go-glob.ts';
import { parseGoJson } from '../../../src/policy/credentials/go-json.ts';
import { DecodingError, decodeDockerConfig } from '../../../src/policy/index.ts';

test.each([
  ['', 'unexpected end of JSON input'],
  ['{"a":', 'unexpected end of JSON input'],
  ['{"a" 1}', "invalid character '1' after object key"],
  ['{"a":1 "b"}', "invalid character '\"' after object key:value pair"],
  ['{a}', "invalid character 'a' looking for beginning of object key string"],
  ['{"a":1,}', "invalid character '}' looking for beginning of object key string"],
  ['[1 2]', "invalid character '2' after array element"],
  ['[1,]', "invalid character ']' looking for beginning of value"],
  ['{} x', "invalid character 'x' after top-level value"],
  ["'a'", "invalid character '\\'' looking for beginning of value"],
  ['tru3', "invalid character '3' in literal true (expecting 'e')"],
  ['-x', "invalid character 'x' in numeric literal"],
  ['1.x', "invalid character 'x' after decimal point in numeric literal"],
  ['1e+x', "invalid character 'x' in exponent of numeric literal"],
  ['01', "invalid character '1' after top-level value"],
  ['"\n"', "invalid character '\\n' in string literal"],
  ['"\\x"', "invalid character 'x' in string escape code"],
  ['"\\u12x4"', "invalid character 'x' in \\u hexadecimal character escape"],
  ['é', "invalid character 'Ã' looking for beginning of value"],
])('JSON that Go refuses: %j', (text, problem) => {
  expect(parseGoJson(text)).toEqual({ problem });
});

test.each([
  ['pants', 'unpadded', 4],
  ['Zm9v Ym', 'unpadded', 4],
  ['Zm9vYg', 'padded', 4],
  ['Zm9vYg=', 'padded', 7],
  ['Zm9vYg=x', 'padded', 6],
  ['Zm9vYg==x', 'padded', 8],
  ['Zm9vYmE=\n', 'padded', 'fooba'],
  ['Z\nm9v', 'unpadded', 'foo'],
  ['=', 'padded', 0],
] as const)('base64 as Go decodes it: %j', (text, form, expected) => {
  const decoded = goBase64(text, form);
  expect(typeof decoded === 'number' ? decoded : decoded.toString()).toBe(expected);
});

describe('shell patterns of Go', () => {
  test.each([
    ['*', 'abc', true],
    ['a*c', 'abbc', true],
    ['a?c', 'abc', true],
    ['a?c', 'ac', false],
    ['[a-c]x', 'bx', true],
    ['[^a-c]x', 'bx', false],
    ['[c-a]', 'b', false],
    ['\\*', '*', true],
    ['\\*', 'a', false],
    ['[\\]]', ']', true],
    ['a.c', 'abc', false],
    ['*', 'a/b', false],
  ])('%s and %s', (pattern, text, expected) => {
    expect(goGlob(pattern, text)).toBe(expected);
  });

  test.each(['[', '[]', '[a', '[-]', '[a-]', '\\'])('%s is none', (pattern) => {
    expect(() => goGlob(pattern, 'a')).toThrow(BadPattern);
  });

  test('many stars cost no exponential time', () => {
    expect(goGlob('*a'.repeat(12), `${'a'.repeat(60)}b`)).toBe(false);
  });
});

test('what has the wrong type is named as Go names it', () => {
  const message = (text: string) => {
    try {
      decodeDockerConfig(text, 'dockerconfigjson');
      return undefined;
    } catch (error) {
      return error instanceof DecodingError ? error.message : error;
    }
  };
  expect(message('{"auths":{"a":{"email":false}}}')).toBe(
    'json: cannot unmarshal bool into Go struct field dockerConfigEntryWithAuth.email of type string',
  );
  expect(message('[]')).toBe('json: cannot unmarshal array into Go value of type credentialprovider.DockerConfigJSON');
  expect(message('{"auths":{"a":{"auth":"pants"}}}')).toBe('illegal base64 data at input byte 4');
});
