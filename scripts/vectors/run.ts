import { readdirSync } from 'node:fs';
import { difference } from './compare.ts';
import type { Adapter, Check, Outcome, VectorCase, VectorTable } from './vector-table.ts';

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
  /** Cases that nothing implements yet. */
  readonly skipped: number;
}

const adapterFolder = new URL('tables/', import.meta.url);

/** Runs every case of a table against the public functions that its adapter calls. */
export async function runTable(table: VectorTable): Promise<TableResult> {
  const adapter = await adapterOf(table.name);
  const covered = table.cases.filter((vector) => adapter && (adapter.covers?.(vector) ?? true));
  const failures: CaseFailure[] = [];
  for (const vector of covered) {
    const failure = await runCase(adapter!.check, vector);
    if (failure) failures.push(failure);
  }
  const skipped = table.cases.length - covered.length;
  return { table: table.name, passed: covered.length - failures.length, failures, skipped };
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

async function adapterOf(table: string): Promise<Adapter | undefined> {
  const file = `${table}.ts`;
  if (!readdirSync(adapterFolder).includes(file)) return undefined;
  return import(new URL(file, adapterFolder).href);
}
