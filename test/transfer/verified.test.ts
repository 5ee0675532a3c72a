import { expect, test } from 'vitest';
import { digestOf } from '../../src/oci/index.ts';
import { verified } from '../../src/transfer/verified.ts';

async function* content(...pieces: readonly string[]): AsyncGenerator<Uint8Array> {
  for (const piece of pieces) yield Buffer.from(piece);
}

/** What was passed on, then the code of the error if there was one. */
async function outcome(pieces: readonly string[], expected: string, size = expected.length): Promise<string[]> {
  const descriptor = { mediaType: 'text/plain', digest: digestOf(expected), size };
  const passed: string[] = [];
  try {
    for await (const piece of verified(content(...pieces), descriptor, 'a test'))
      passed.push(Buffer.from(piece).toString());
  } catch (error) {
    passed.push((error as { code: string }).code);
  }
  return passed;
}

test('right content is passed on as it comes', async () => {
  expect(await outcome(['ab', '', 'c'], 'abc')).toEqual(['ab', 'c']);
  expect(await outcome([], '')).toEqual([]);
  expect(await outcome([''], '')).toEqual([]);
});

test('wrong content never has an end', async () => {
  expect(await outcome(['ab', 'x', ''], 'abc')).toEqual(['ab', 'ERR_LADING_DIGEST_MISMATCH']);
  expect(await outcome(['ab'], 'abc')).toEqual(['ab', 'ERR_LADING_SIZE_MISMATCH']);
  expect(await outcome(['ab', 'cd'], 'abc')).toEqual(['ab', 'ERR_LADING_SIZE_MISMATCH']);
  expect(await outcome(['ab', 'c', 'd'], 'abc')).toEqual(['ab', 'c', 'ERR_LADING_SIZE_MISMATCH']);
  expect(await outcome([], 'abc', 0)).toEqual(['ERR_LADING_DIGEST_MISMATCH']);
});
