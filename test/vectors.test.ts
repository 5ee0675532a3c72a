import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { runTable } from '../scripts/vectors/run.ts';
import { readTables } from '../scripts/vectors/vector-table.ts';

/** Tables that must run: a renamed adapter would otherwise turn its cases into skipped ones. */
const implemented = [
  'admission-always-pull',
  'backoff',
  'container-restart',
  'container-status-image',
  'crash-loop',
  'crash-loop-config',
  'credential-plugin',
  'default-pull-policy',
  'default-registry-match',
  'docker-config',
  'docker-config-decode',
  'ensure-image',
  'hosts-toml',
  'image-default-tag',
  'image-gc',
  'image-gc-policy',
  'image-name-parse',
  'image-name-trim',
  'image-volumes',
  'keyring-lookup',
  'kubelet-config',
  'must-attempt-pull',
  'node-status-images',
  'platform-match',
  'pod-actions',
  'pull-error-classification',
  'pull-policy-validation',
  'pull-record-lifecycle',
  'pull-scheduling',
  'pulled-record-merge',
  'record-files',
  'reference',
  'registry-url-match',
  'secret-keyring',
  'service-account-merge',
  'size-format',
  'tenant-scenarios',
  'verification-policy',
  'www-authenticate',
];

describe('vector tables', () => {
  const { tables } = readTables(fileURLToPath(new URL('vectors', import.meta.url)));

  test.for(tables)('$name', async (table, { skip }) => {
    const result = await runTable(table);
    expect(result.failures).toEqual([]);
    if (result.passed === 0 && !implemented.includes(table.name)) skip('nothing implements this table yet');
    expect(result.passed).toBe(table.cases.length);
  });

  test('every implemented table is there', () => {
    expect(tables.map(({ name }) => name)).toEqual(expect.arrayContaining(implemented));
  });
});
