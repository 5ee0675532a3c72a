// npm run layers -- [DIR]: loads each case of the layer corpus in DIR, by default test/layers, into a store and compares the
// root file systems that come of it, mounted and copied.
// Exit code 0: every case passed or was skipped; 1: a case failed; 2: there is no corpus in DIR.
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Limiter } from '../src/lib/limiter.ts';
import { type OverlaySupport, probeOverlay } from '../src/lib/overlay.ts';
import { reexecInUserNamespace, userNamespaceSupport } from '../src/runtime/index.ts';
import { UnpackPool } from '../src/unpack/index.ts';
import { type Corpus, readCorpus } from './layers/corpus.ts';
import { missingNeeds } from './layers/host-needs.ts';
import { type CaseResult, runCase } from './layers/run-case.ts';

const threads = 2;
/** More than there are threads: a case waits for the disk most of the time. */
const casesAtOnce = 8;
const enoughBytes = 2 ** 30;

const [folder = fileURLToPath(new URL('../test/layers', import.meta.url)), ...more] = process.argv.slice(2);
process.exitCode = more.length > 0 ? wrongUsage('at most one folder can be given') : await main(resolve(folder));

async function main(dir: string): Promise<number> {
  let corpus: Corpus;
  try {
    corpus = readCorpus(dir);
  } catch (error) {
    return wrongUsage((error as Error).message);
  }
  return process.getuid?.() === 0 ? await runAsRoot(corpus) : await runAsUser(corpus);
}

/** Owners and mounts need root, or a user namespace to be root of. */
async function runAsUser({ dir, cases }: Corpus): Promise<number> {
  const support = userNamespaceSupport();
  if (support.ok) return reexecInUserNamespace([fileURLToPath(import.meta.url), dir]);
  console.log(`Nothing can be run: ${support.reason}. ${support.hint}`);
  console.log(`0 passed, 0 failed, ${cases.length} skipped`);
  return 0;
}

async function runAsRoot(corpus: Corpus): Promise<number> {
  const scratch = await makeScratch();
  const pool = new UnpackPool({ workers: threads });
  try {
    const { support } = scratch;
    if (support.mode === 'copy') console.log(`Only copying is run: ${support.reason}`);
    const host = { corpusDir: corpus.dir, scratchDir: scratch.dir, pool, support, missingNeeds: scratch.missingNeeds };
    const limiter = new Limiter(casesAtOnce);
    const results = await Promise.all(
      corpus.cases.map((testCase) =>
        limiter.run(async () => {
          const result = await runCase(testCase, host);
          report(testCase.name, result);
          return result;
        }),
      ),
    );
    const count = (outcome: CaseResult['outcome']) => results.filter((result) => result.outcome === outcome).length;
    console.log(`${count('passed')} passed, ${count('failed')} failed, ${count('skipped')} skipped`);
    return count('failed') > 0 ? 1 : 0;
  } finally {
    await pool.close();
    rmSync(scratch.dir, { recursive: true, force: true });
  }
}

interface Scratch {
  readonly dir: string;
  readonly support: OverlaySupport;
  readonly missingNeeds: ReadonlyMap<string, string>;
}

/** In memory if that can do the same: the corpus is not about disks, and on one it waits for 12,000 syncs. */
async function makeScratch(): Promise<Scratch> {
  const disk = await tryScratch(tmpdir());
  const memory = await tryScratch('/dev/shm').catch(() => undefined);
  const isAsGood =
    process.env.TMPDIR === undefined &&
    memory !== undefined &&
    (memory.support.mode === 'overlay' || disk.support.mode === 'copy') &&
    memory.missingNeeds.size <= disk.missingNeeds.size &&
    freeBytes(memory.dir) > enoughBytes;
  const [chosen, other] = isAsGood ? [memory, disk] : [disk, memory];
  if (other) rmSync(other.dir, { recursive: true });
  return chosen;
}

function freeBytes(dir: string): number {
  const { bavail, bsize } = statfsSync(dir);
  return bavail * bsize;
}

async function tryScratch(parent: string): Promise<Scratch> {
  const dir = mkdtempSync(join(parent, 'lading-layers-'));
  return { dir, support: await probeOverlay(dir), missingNeeds: missingNeeds(dir) };
}

function report(name: string, result: CaseResult): void {
  if (result.outcome === 'failed') {
    console.log(`FAILED ${name}`);
    for (const difference of result.differences) console.log(`  ${difference}`);
  } else if (result.outcome === 'skipped') console.log(`skipped ${name}: ${result.reason}`);
}

function wrongUsage(message: string): number {
  console.error(`layers: ${message}\nUsage: npm run layers -- [DIR]`);
  return 2;
}
