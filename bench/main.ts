// npm run bench -- NAME [OPTION…]: runs one benchmark; without a name, lists them.
import { readdirSync } from 'node:fs';

/** A file `bench/NAME.ts` is a benchmark. */
interface Benchmark {
  /** One line for the list. */
  readonly summary: string;
  readonly usage: string;
  /** Prints its results. */
  run(args: readonly string[]): Promise<void>;
}

const names = readdirSync(import.meta.dirname, { withFileTypes: true })
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts') && entry.name !== 'main.ts')
  .map((entry) => entry.name.slice(0, -'.ts'.length))
  .sort();
const [name, ...args] = process.argv.slice(2);
if (name !== undefined && names.includes(name)) {
  const { run, usage } = await load(name);
  try {
    await run(args);
  } catch (error) {
    if (!(error as NodeJS.ErrnoException).code?.startsWith('ERR_PARSE_ARGS')) throw error;
    console.error(`bench: ${(error as Error).message}\nUsage: npm run bench -- ${name} ${usage}`.trimEnd());
    process.exitCode = 2;
  }
} else {
  if (name !== undefined) console.error(`bench: there is no benchmark ${JSON.stringify(name)}`);
  console.log('Usage: npm run bench -- NAME [OPTION…]');
  for (const each of names) console.log(`  ${each.padEnd(12)} ${(await load(each)).summary}`);
  process.exitCode = name === undefined ? 0 : 2;
}

function load(benchmark: string): Promise<Benchmark> {
  return import(`./${benchmark}.ts`) as Promise<Benchmark>;
}
