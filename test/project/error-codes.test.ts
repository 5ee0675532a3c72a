import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('docs/errors.md lists exactly the error codes that the sources can throw', () => {
  const thrown = new Set(readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .flatMap((file) => codesIn(readFileSync(join(root, 'src', file), 'utf8'))));
  const documented = new Set(codesIn(readFileSync(join(root, 'docs/errors.md'), 'utf8')));
  expect([...thrown].filter((code) => !documented.has(code))).toEqual([]);
  expect([...documented].filter((code) => !thrown.has(code))).toEqual([]);
  expect(thrown.size).toBeGreaterThan(10);
});

/** Codes ending in `_` are the stems of template literals, which stand for a family: `ERR_LADING_LAYER_<CLASS>`. */
function codesIn(text: string): string[] {
  return [...text.matchAll(/ERR_LADING_[A-Z0-9_]+/g)].map((match) => match[0]);
}
