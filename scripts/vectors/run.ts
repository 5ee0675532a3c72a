import { readdirSync } from 'node:fs';
import { difference } from './compare.ts';
import type { Check, Outcome, VectorCase, VectorTable } from './vector-table.ts';

export interface CaseFailure {
  readonly id: string;
  readonly title: string;
  /** Where expectation and result part. */
  readonly difference: string;
  readonly expected: unknown;
  readonly actual: unknown;
}

export interface TableResult {
  readonly table: string;
  readonly passed: number;
  readonly failures: readonly CaseFailure[];
  /** Cases of a table that nothing implements yet. */
  readonly skipped: number;
}

const adapterFolder = new URL('tables/', import.meta.url);

/** Runs every case of a table against the public functions that its adapter calls. */
export async function runTable(table: VectorTable): Promise<TableResult> {
  const check = await adapterOf(table.name);
  if (!check) return { table: table.name, passed: 0, failures: [], skipped: table.cases.length };
  const failures: CaseFailure[] = [];
  for (const vector of table.cases) {
    const failure = await runCase(check, vector);
    if (failure) failures.push(failure);
  }
  return { table: table.name, passed: table.cases.length - failures.length, failures, skipped: 0 };
}

async function runCase(check: Check, vector: VectorCase): Promise<CaseFailure | undefined> {
  const about = { id: vector.id, title: String(vector.title ?? vector.description ?? '') };
  try {
    const outcomes = await check(vector);
    const steps: readonly Outcome[] = Array.isArray(outcomes) ? outcomes : [outcomes];
    for (const [index, { actual, expected = vector.expect }] of steps.entries()) {
      if (expected === undefined) throw new Error('the case has no expectation');
      const differs = difference(expected, actual);
      if (differs === undefined) continue;
      const step = steps.length > 1 ? `step ${index + 1}: ` : '';
      return { ...about, difference: step + differs, expected, actual };
    }
    return undefined;
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return { ...about, difference: `it could not be run: ${problem}`, expected: vector.expect, actual: undefined };
  }
}

async function adapterOf(table: string): Promise<Check | undefined> {
  const file = `${table}.ts`;
  if (!readdirSync(adapterFolder).includes(file)) return undefined;
  const adapter: { check: Check } = await import(new URL(file, adapterFolder).href);
  return adapter.check;
}
