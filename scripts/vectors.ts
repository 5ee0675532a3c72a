// npm run vectors -- [DIR]: runs the vector tables of DIR, by default test/vectors, against Lading's public functions.
// Exit code 0: every case passed or was skipped; 1: a case failed; 2: the tables could not be read.
import { fileURLToPath } from 'node:url';
import { type CaseFailure, runTable, type TableResult } from './vectors/run.ts';
import { readTables, type VectorFolder } from './vectors/vector-table.ts';

const maxShownLength = 2000;

const [folder = fileURLToPath(new URL('../test/vectors', import.meta.url)), ...more] = process.argv.slice(2);
process.exitCode = more.length > 0 ? wrongUsage('at most one folder can be given') : await main(folder);

async function main(folder: string): Promise<number> {
  let found: VectorFolder;
  try {
    found = readTables(folder);
  } catch (error) {
    return wrongUsage(error instanceof Error ? error.message : String(error));
  }
  const results: TableResult[] = [];
  for (const table of found.tables) {
    const result = await runTable(table);
    results.push(result);
    console.log(`${result.table.padEnd(28)} ${summary([result])}`);
    for (const failure of result.failures) reportFailure(result.table, failure);
  }
  const skipping = results.filter(({ skipped }) => skipped > 0);
  const isPartial = ({ passed, failures }: TableResult) => passed + failures.length > 0;
  reportTables(
    'Nothing implements these tables yet',
    skipping.filter((result) => !isPartial(result)),
  );
  reportTables('These tables are implemented in part', skipping.filter(isPartial));
  if (found.others.length > 0) console.log(`\nNo vector tables: ${found.others.join(', ')}`);
  console.log(`\n${summary(results)}`);
  return results.some(({ failures }) => failures.length > 0) ? 1 : 0;
}

function summary(results: readonly TableResult[]): string {
  const total = (count: (result: TableResult) => number) => results.reduce((sum, result) => sum + count(result), 0);
  const failed = total(({ failures }) => failures.length);
  return `${total(({ passed }) => passed)} passed, ${failed} failed, ${total(({ skipped }) => skipped)} skipped`;
}

function reportTables(heading: string, results: readonly TableResult[]): void {
  if (results.length > 0) console.log(`\n${heading}: ${results.map(({ table }) => table).join(', ')}`);
}

function reportFailure(table: string, { id, title, difference, expected, actual }: CaseFailure): void {
  console.log(`  FAILED ${table} ${id}${title === '' ? '' : ` (${title})`}: ${difference}`);
  console.log(`    expected ${shown(expected)}\n    actual   ${shown(actual)}`);
}

function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? 'nothing';
  return text.length > maxShownLength ? `${text.slice(0, maxShownLength)}… (${text.length} characters)` : text;
}

function wrongUsage(message: string): number {
  console.error(`vectors: ${message}\nUsage: npm run vectors -- [DIR]`);
  return 2;
}
