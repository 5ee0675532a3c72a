import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runTable } from '../scripts/vectors/run.ts';
import { readTables } from '../scripts/vectors/vector-table.ts';

/** Tables that must run: a renamed adapter would otherwise turn its cases into skipped ones. */
const implemented = [
  'backoff',
  'container-restart',
  'crash-loop',
  'crash-loop-config',
  'default-pull-policy',
  'image-default-tag',
  'image-name-parse',
  'image-name-trim',
  'platform-match',
  'pull-error-classification',
  'pull-policy-validation',
  'reference',
];

describe('vector tables', () => {
  const tables = readTables(fileURLToPath(new URL('vectors', import.meta.url)));

  test.for(tables)('$name', async (table, { skip }) => {
    const result = await runTable(table);
    if (result.skipped > 0 && !implemented.includes(table.name)) skip('nothing implements this table yet');
    expect(result.failures).toEqual([]);
    expect(result.skipped).toBe(0);
    expect(result.passed).toBe(table.cases.length);
  });

  test('every implemented table is there', () => {
    expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(implemented));
  });
});
