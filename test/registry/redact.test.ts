import { expect, test } from 'vitest';
import { printable, redactedPath } from '../../src/registry/redact.ts';

test('only parameters that are known to be harmless are shown', () => {
  const url = new URL('https://u:p@store.test/v2/a/blobs/x?digest=sha256:1&X-Amz-Signature=abc&token=t&_state=s');
  expect(redactedPath(url)).toBe(
    '/v2/a/blobs/x?digest=sha256:1&X-Amz-Signature=REDACTED&token=REDACTED&_state=REDACTED',
  );
});

test('text of registries loses control characters and length', () => {
  expect(printable('a\u001b[31mb\r\nc\u202ed')).toBe('a [31mb c d');
  expect(printable('x'.repeat(600))).toHaveLength(512);
});
