import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, zstdDecompressSync } from 'node:zlib';
import { LadingError } from '../../src/lib/errors.ts';
import { type EntryRecord, entryColumns, type LayerFacts } from '../../src/lib/layer-facts.ts';
import type { OverlaySupport } from '../../src/lib/overlay.ts';
import { digestOf } from '../../src/oci/digest.ts';
import { type UnpackJob, UnpackPool, verifyLayer } from '../../src/unpack/index.ts';
import { readLayerRecord } from '../../src/unpack/layer-record.ts';
import { mutateBytes, mutateTar, randomNumbers } from './mutate.ts';
import { type ReferenceLayer, referenceLayer } from './reference-layer.ts';
import { Refused, referenceEntries } from './reference-tar.ts';

export interface FuzzOptions {
  /** Of the layer corpus. */
  readonly corpusDir: string;
  /** An empty folder on a file system that takes devices and attributes. */
  readonly scratchDir: string;
  readonly support: OverlaySupport;
  readonly seed: number;
  /** Ends after so many archives, or when `until` says so. */
  readonly archives: number;
  readonly until?: () => boolean;
}

export interface FuzzReport {
  readonly unpacked: number;
  readonly refused: number;
  /** What went wrong, with the number of the archive: with the same seed it is the same again. */
  readonly failures: readonly string[];
}

const maxSeedBytes = 256 * 1024;
/** Small enough that no mutation takes long. */
const limits = { maxLayerSize: 64 * 1024 * 1024, maxEntrySize: 32 * 1024 * 1024, maxEntries: 10_000 };
/** These say that the host or the program is at fault, never the layer. */
const unclean = new Set(['ERR_LADING_UNPACK_WORKER', 'ERR_LADING_UNPACK_CLOSED', 'ERR_LADING_UNPACK_IO']);

/**
 * Unpacks mutated layers, each in one thread and in two. Each must be refused by both with an error that a user can
 * read, or give what a reference gives that has no line in common with the unpacker; and nothing may appear outside.
 */
export async function fuzzLayers(options: FuzzOptions): Promise<FuzzReport> {
  const { corpusDir, scratchDir, seed, archives, until } = options;
  const seeds = readSeeds(join(corpusDir, 'blobs'));
  const pool = new UnpackPool({ workers: 2 });
  let [unpacked, refused] = [0, 0];
  const failures: string[] = [];
  try {
    for (let number = 0; number < archives && !until?.(); number += 1) {
      const random = randomNumbers(seed + number * 7919);
      const { blob, tar } = seeds[random(seeds.length)]!;
      const isPacked = blob !== tar && random(4) === 0;
      const layer = isPacked ? mutateBytes(blob, random) : mutateTar(tar, random);
      const folder = mkdtempSync(join(scratchDir, 'layer-'));
      try {
        const diffId = digestOf(isPacked ? tar : layer);
        const [one, two] = [await attempt('one'), await attempt('two')];
        const wrong = [...one.problems, ...two.problems];
        if (one.record !== two.record) wrong.push('one thread and two threads disagree');
        // What is wrong with the packing is not for the reference to say.
        const isForReference = !isPacked || one.record !== undefined;
        if (isForReference) wrong.push(...unlikeReference(one, isPacked ? tar : layer, join(folder, 'one')));
        const strays = readdirSync(folder).filter((name) => !expected.has(name));
        if (strays.length > 0) wrong.push(`appeared outside: ${strays.join(', ')}`);
        failures.push(...wrong.map((problem) => `archive ${number} of seed ${seed}: ${problem}`));
        if (one.record === undefined) refused += 1;
        else unpacked += 1;

        async function attempt(threads: 'one' | 'two') {
          const job = newJob(folder, threads, { layer, diffId, support: options.support });
          return outcomeOf(pool, job);
        }
      } finally {
        rmSync(folder, { recursive: true, force: true });
      }
    }
  } finally {
    await pool.close();
  }
  return { unpacked, refused, failures };
}

const expected = new Set(['blob', 'one', 'one.entries', 'two', 'two.entries']);

function newJob(
  folder: string,
  threads: 'one' | 'two',
  { layer, diffId, support }: { layer: Buffer; diffId: UnpackJob['diffId']; support: OverlaySupport },
): UnpackJob {
  const [blobPath, targetDir] = [join(folder, 'blob'), join(folder, threads)];
  writeFileSync(blobPath, layer);
  mkdirSync(targetDir);
  const mediaType = 'application/vnd.oci.image.layer.v1.tar+gzip';
  const entriesFile = join(folder, `${threads}.entries`);
  return {
    blobPath,
    mediaType,
    diffId,
    targetDir,
    entriesFile,
    overlay: support,
    limits,
    inTwoThreads: threads === 'two',
  };
}

interface Outcome {
  /** What is in the layer; undefined if it was refused. */
  readonly record?: string;
  readonly facts?: LayerFacts;
  /** Why it was refused. */
  readonly reason?: string;
  readonly problems: readonly string[];
}

/** What differs from what the rules make of the archive. Only attributes that a file system refuses are left to it. */
function unlikeReference({ record, facts, reason }: Outcome, tar: Buffer, dir: string): string[] {
  let expected: ReferenceLayer;
  let hasXattrs = false;
  try {
    const entries = referenceEntries(tar, limits);
    hasXattrs = entries.some((entry) => entry.hasXattrs);
    expected = referenceLayer(entries);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return record === undefined ? [] : [`unpacked, although ${error.message}`];
  }
  if (record === undefined || facts === undefined) {
    return hasXattrs ? [] : [`refused (${reason}), although no rule is broken`];
  }
  const found = record.split('\n').filter(Boolean);
  const differences = [
    ...expected.record.filter((line) => !found.includes(line)).map((line) => `missing: ${line}`),
    ...found.filter((line) => !expected.record.includes(line)).map((line) => `unexpected: ${line}`),
  ];
  for (const [name, wanted] of Object.entries(expected.facts)) {
    const fact = facts[name as keyof ReferenceLayer['facts']];
    const have = JSON.stringify(Array.isArray(fact) ? [...fact].sort() : fact);
    if (have !== JSON.stringify(wanted)) differences.push(`${name} is ${have}, want ${JSON.stringify(wanted)}`);
  }
  for (const [path, data] of expected.sparse) {
    const file = Buffer.concat([Buffer.from(`${dir}/`), Buffer.from(path, 'latin1')]);
    if (!readFileSync(file).equals(data)) differences.push(`${path} has other content`);
  }
  return differences;
}

async function outcomeOf(pool: UnpackPool, job: UnpackJob): Promise<Outcome> {
  let facts: LayerFacts;
  try {
    facts = await pool.unpack(job);
  } catch (error) {
    const isClean = error instanceof LadingError && !unclean.has(error.code);
    return { reason: String(error), problems: isClean ? [] : [`not a clean error: ${(error as Error).stack}`] };
  }
  const problems: string[] = [];
  for await (const { path, problem } of verifyLayer(job.targetDir, job.entriesFile, { content: true })) {
    problems.push(`${JSON.stringify(path)}: ${problem}`);
  }
  return { record: [...readLayerRecord(job.entriesFile).values()].map(recordLine).join('\n'), facts, problems };
}

/** The corpus as blobs, and as archives where they can be decompressed. */
function readSeeds(folder: string): { blob: Buffer; tar: Buffer }[] {
  return readdirSync(folder)
    .sort()
    .map((name) => readFileSync(join(folder, name)))
    .filter((blob) => blob.byteLength <= maxSeedBytes)
    .flatMap((blob) => {
      const tar = decompressed(blob);
      return tar.byteLength <= maxSeedBytes ? [{ blob, tar }] : [];
    });
}

function decompressed(blob: Buffer): Buffer {
  const options = { maxOutputLength: 4 * maxSeedBytes };
  try {
    if (blob[0] === 0x1f) return gunzipSync(blob, options);
    if (blob[0] === 0x28) return zstdDecompressSync(blob, options);
  } catch {
    // It is broken on purpose.
  }
  return blob;
}

/** Extended attributes the reference does not know. */
function recordLine(record: EntryRecord): string {
  return JSON.stringify(entryColumns.filter((column) => column !== 'xattrs').map((column) => record[column]));
}
