import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** One case of a vector table; its members are those of its table's schema. */
export interface VectorCase {
  readonly id: string;
  // biome-ignore lint/suspicious/noExplicitAny: the schema differs between tables and is checked by comparing results
  readonly [member: string]: any;
}

export interface VectorTable {
  readonly name: string;
  readonly cases: readonly VectorCase[];
}

/** What an adapter makes of a case: `expected` is `expect` of the case unless the adapter says otherwise. */
export interface Outcome {
  readonly actual: unknown;
  readonly expected?: unknown;
}

/**
 * What an adapter makes of a case. What it throws is a failure of the case, also for a kind of case that it does not
 * know. Cases that are sequences give one outcome a step.
 */
export type Check = (vector: VectorCase) => Outcome | readonly Outcome[] | Promise<Outcome | readonly Outcome[]>;

/** The exports of `tables/<table>.ts`, and that is all it takes to have the table run. */
export interface Adapter {
  readonly check: Check;
  /** False for cases that nothing implements yet: they are skipped. By default every case is checked. */
  readonly covers?: (vector: VectorCase) => boolean;
}

export function unknownKind(kind: unknown): never {
  throw new Error(`the adapter does not know this kind of case: ${JSON.stringify(kind)}`);
}

export interface VectorFolder {
  readonly tables: readonly VectorTable[];
  /** Names of JSON files that are something else. */
  readonly others: readonly string[];
}

/** The tables of a folder by file name; throws an Error when there are none, or when a file cannot be read. */
export function readTables(folder: string): VectorFolder {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json'));
  const read = files.sort().map((file) => ({ file, table: readTable(join(folder, file)) }));
  const tables = read.flatMap(({ table }) => table ?? []);
  if (tables.length === 0) throw new Error(`${folder} contains no vector tables (*.json with a name and cases)`);
  return { tables, others: read.filter(({ table }) => !table).map(({ file }) => file) };
}

function readTable(path: string): VectorTable | undefined {
  let document: { table?: unknown; name?: unknown; cases?: unknown } | null;
  try {
    document = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} is not JSON: ${error instanceof Error ? error.message : error}`);
  }
  const name = document?.table ?? document?.name;
  const cases = document?.cases;
  if (typeof name !== 'string' || !Array.isArray(cases)) return undefined;
  return { name, cases: cases.map((vector, index) => ({ id: `#${index + 1}`, ...vector })) };
}
