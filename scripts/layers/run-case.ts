import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { errorCode } from '../../src/lib/errors.ts';
import type { LayerFacts } from '../../src/lib/layer-facts.ts';
import { mountOverlay, type OverlaySupport, unmount } from '../../src/lib/overlay.ts';
import { chainIds, digestAlgorithm, digestOf, parseDigest, parseImageConfig } from '../../src/oci/index.ts';
import {
  buildFixUp,
  layerCompression,
  lowerDirectories,
  maxLayers,
  type UnpackPool,
  verifyLayer,
} from '../../src/unpack/index.ts';
import { compareTree } from './compare-tree.ts';
import type { CorpusCase } from './corpus.ts';

export interface Host {
  /** Folder of the corpus. */
  readonly corpusDir: string;
  /** Folder on the file system under test. */
  readonly scratchDir: string;
  readonly pool: UnpackPool;
  readonly support: OverlaySupport;
  /** What the host cannot do, with why. */
  readonly missingNeeds: ReadonlyMap<string, string>;
}

export type CaseResult =
  | { readonly outcome: 'passed' }
  | { readonly outcome: 'failed'; readonly differences: readonly string[] }
  | { readonly outcome: 'skipped'; readonly reason: string };

const copying: OverlaySupport = { mode: 'copy', reason: 'asked for' };

/**
 * Runs one case in each way that a root file system can come about: mounted, copied from layers made for mounting, and
 * copied from layers made for copying. All must give what the case expects.
 */
export async function runCase(testCase: CorpusCase, host: Host): Promise<CaseResult> {
  for (const need of testCase.needs ?? []) {
    const reason = host.missingNeeds.get(need);
    if (reason !== undefined) return { outcome: 'skipped', reason: `${need}: ${reason}` };
  }
  const scratch = mkdtempSync(join(host.scratchDir, 'case-'));
  try {
    const differences = [
      ...(host.support.mode === 'overlay' ? await attempt(testCase, host, join(scratch, 'overlay'), host.support) : []),
      ...(await attempt(testCase, host, join(scratch, 'copy'), copying)),
      ...strayFiles(scratch),
    ];
    return differences.length === 0 ? { outcome: 'passed' } : { outcome: 'failed', differences };
  } catch (error) {
    if (errorCode(error) !== 'ERR_LADING_UNMAPPED_ID') throw error;
    return { outcome: 'skipped', reason: (error as Error).message };
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

/** Differences, each with the way in which it came about. */
async function attempt(testCase: CorpusCase, host: Host, dir: string, support: OverlaySupport): Promise<string[]> {
  const { expect } = testCase;
  mkdirSync(dir);
  let roots: Root[];
  try {
    checkImage(testCase, host.corpusDir);
    roots = await makeRoots(testCase, host, dir, support);
  } catch (error) {
    if (errorCode(error) === 'ERR_LADING_UNMAPPED_ID') throw error;
    const found = classOf(error) ?? `an error of no class (${(error as Error).stack})`;
    if (expect.error !== undefined && acceptedErrors(testCase).includes(found)) return [];
    const message = (error as Error).message;
    return [`${support.mode}: ${found} (${message}), want ${expect.error ?? 'a tree'}`];
  }
  try {
    if (expect.error !== undefined) return [`${support.mode}: a tree, want the error ${expect.error}`];
    return roots.flatMap(({ way, path, findings }) =>
      [...findings, ...compareTree(expect, path)].map((difference) => `${way}: ${difference}`),
    );
  } finally {
    for (const { way, path } of roots) if (way === 'mounted') unmount(path);
  }
}

/** If more than one error applies, any of them is right: where a limit is among the rules, `too-large` is one. */
function acceptedErrors({ expect, rule = '' }: CorpusCase): string[] {
  return /\bL\d/.test(rule) ? [expect.error!, 'too-large'] : [expect.error!];
}

function classOf(error: unknown): string | undefined {
  if (errorCode(error) === 'ERR_LADING_IMAGE_CONFIG_INVALID') return 'bad-config';
  const { data } = error as { data?: { class?: unknown } };
  return typeof data?.class === 'string' ? data.class : undefined;
}

class ImageError extends Error {
  readonly data: { readonly class: string };

  constructor(errorClass: string, message: string) {
    super(message);
    this.data = { class: errorClass };
  }
}

/** What a pull checks before anything is unpacked: media types, blobs (V1), image config (V3). */
function checkImage({ layers, configDiffIDs, chainIDs }: CorpusCase, corpusDir: string): void {
  if (layers.length > maxLayers) throw new ImageError('too-large', `${layers.length} layers`);
  for (const { mediaType } of layers) layerCompression(mediaType);
  for (const { blob, digest, size } of layers) {
    const bytes = readFileSync(join(corpusDir, blob));
    if (bytes.byteLength !== size || digestOf(bytes, digestAlgorithm(parseDigest(digest))) !== digest) {
      throw new ImageError('digest-mismatch', `${blob} is not the blob that the manifest states`);
    }
  }
  const config = { architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: configDiffIDs } };
  const { diffIds } = parseImageConfig(Buffer.from(JSON.stringify(config))).rootfs;
  if (diffIds.length !== layers.length || diffIds.some((diffId) => digestAlgorithm(diffId) !== 'sha256')) {
    throw new ImageError('bad-config', `diffIDs ${diffIds.join(', ')} for ${layers.length} layers`);
  }
  const chain = chainIds(diffIds);
  if (chain.join() !== chainIDs.join()) throw new ImageError('chain-id', `chainIDs are ${chain.join()}`);
}

interface Root {
  readonly way: string;
  readonly path: string;
  readonly findings: readonly string[];
}

async function makeRoots(testCase: CorpusCase, host: Host, dir: string, support: OverlaySupport): Promise<Root[]> {
  const layers = await unpackLayers(testCase, host, dir, support);
  const findings: string[] = [];
  for (const { dir: layerDir, entriesFile } of layers) {
    for await (const { path, problem } of verifyLayer(layerDir, entriesFile, { content: true })) {
      findings.push(`verify: ${JSON.stringify(path)} ${problem}`);
    }
  }
  const copied = join(dir, 'copied');
  mkdirSync(copied);
  await host.pool.merge({ layers, targetDir: copied });
  const roots: Root[] = [{ way: `copied from layers for ${support.mode}`, path: copied, findings }];
  if (support.mode === 'copy') return roots;
  const [fixUp, mounted] = [join(dir, 'fix-up'), join(dir, 'mounted')];
  for (const folder of [fixUp, mounted]) mkdirSync(folder);
  const needed = await buildFixUp(layers, fixUp);
  mountOverlay({ lowers: lowerDirectories(layers, needed ? fixUp : undefined), target: mounted, support });
  return [...roots, { way: 'mounted', path: mounted, findings: [] }];
}

/** All at once, as a pull does; the first failure counts once all have ended. */
async function unpackLayers(
  { layers, limits, configDiffIDs }: CorpusCase,
  host: Host,
  dir: string,
  support: OverlaySupport,
) {
  const jobs = layers.map(async ({ blob, mediaType }, index) => {
    const targetDir = join(dir, `layer-${index}`);
    const entriesFile = join(dir, `entries-${index}`);
    mkdirSync(targetDir);
    const facts: LayerFacts = await host.pool.unpack({
      blobPath: join(host.corpusDir, blob),
      mediaType,
      diffId: parseDigest(configDiffIDs[index]!),
      targetDir,
      entriesFile,
      overlay: support,
      ...(limits === undefined ? {} : { limits }),
    });
    return { dir: targetDir, entriesFile, facts };
  });
  await Promise.allSettled(jobs);
  return Promise.all(jobs);
}

/** Names that mark attempts to leave the root, where such an attempt would have put them. */
function strayFiles(scratch: string): string[] {
  const places = ['/', '/etc', tmpdir(), process.cwd(), scratch, dirname(scratch), ...ways(scratch)];
  return places.flatMap((place) =>
    readdirSync(place)
      .filter((name) => name.startsWith('lading-canary'))
      .map((name) => `outside the root: ${join(place, name)}`),
  );
}

function ways(scratch: string): string[] {
  return readdirSync(scratch).map((name) => join(scratch, name));
}
