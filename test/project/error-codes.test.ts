import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

test('docs/errors.md lists exactly the error codes that the sources can throw', () => {
  const inSources = new Set(
    readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((file) => file.endsWith('.ts'))
      .flatMap((file) => codesIn(readFileSync(join(root, 'src', file), 'utf8'))),
  );
  const documented = new Set(codesIn(readFileSync(join(root, 'docs/errors.md'), 'utf8')));
  // A template literal leaves the beginning of a family of codes in the source: `ERR_LADING_LAYER_`.
  const families = [...inSources].filter((code) => code.endsWith('_'));
  const codes = [...inSources].filter((code) => !code.endsWith('_'));
  expect(codes.filter((code) => !documented.has(code))).toEqual([]);
  expect(families.filter((family) => ![...documented].some((code) => code.startsWith(family)))).toEqual([]);
  const known = (code: string) => inSources.has(code) || families.some((family) => code.startsWith(family));
  expect([...documented].filter((code) => !known(code))).toEqual([]);
  expect(codes.length).toBeGreaterThan(50);
});

function codesIn(text: string): string[] {
  return [...text.matchAll(/ERR_LADING_[A-Z0-9_]+/g)].map((match) => match[0]);
}
