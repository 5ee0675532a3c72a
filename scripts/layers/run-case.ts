import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { errorCode } from '../../src/lib/errors.ts';
import { mountOverlay, type OverlaySupport, unmount } from '../../src/lib/overlay.ts';
import { chainIds, parseDigest } from '../../src/oci/index.ts';
import { copyRootfs, layerDeviations, rootfsOf } from '../../src/pull/index.ts';
import { openStore, type Store } from '../../src/store/index.ts';
import { loadImage } from '../../src/transfer/index.ts';
import { UnpackPool } from '../../src/unpack/index.ts';
import { caseImage } from './case-image.ts';
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
const imageName = 'corpus.example/case:1';

/**
 * Runs one case in each way that a root file system can come about: mounted, copied from layers made for mounting, and
 * copied from layers made for copying. All must give what the case expects.
 */
export async function runCase(testCase: CorpusCase, host: Host): Promise<CaseResult> {
  for (const need of testCase.needs ?? []) {
    const reason = host.missingNeeds.get(need);
    if (reason !== undefined) return { outcome: 'skipped', reason: `${need}: ${reason}` };
  }
  const { limits, ...unlimited } = testCase;
  if (limits) {
    const pool = new UnpackPool({ workers: 1, limits });
    return runCase(unlimited, { ...host, pool }).finally(() => pool.close());
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
  const store = await openStore(join(dir, 'node'), { overlay: support });
  let roots: Root[] = [];
  try {
    roots = await makeRoots(testCase, store, host, dir);
    if (expect.error !== undefined) return [`${support.mode}: a tree, want the error ${expect.error}`];
    const { findings } = await store.check({ verifyLayer: layerDeviations });
    return [
      ...findings.map(({ subject, problem }) => `${support.mode}: check: ${subject} ${problem}`),
      ...roots.flatMap(({ way, path }) => compareTree(expect, path).map((difference) => `${way}: ${difference}`)),
    ];
  } catch (error) {
    if (errorCode(error) === 'ERR_LADING_UNMAPPED_ID') throw error;
    const found = classOf(error) ?? `an error of no class (${(error as Error).stack})`;
    const isExpected = expect.error !== undefined && acceptedErrors(testCase).includes(found);
    if (isExpected) return visible(store).map((name) => `${support.mode}: the refused image is there as ${name}`);
    const message = (error as Error).message;
    return [`${support.mode}: ${found} (${message}), want ${expect.error ?? 'a tree'}`];
  } finally {
    for (const { way, path } of roots) if (way === 'mounted') unmount(path);
    store.close();
  }
}

/** If more than one error applies, any of them is right: where a limit is among the rules, `too-large` is one. */
function acceptedErrors({ expect, rule = '' }: CorpusCase): string[] {
  return /\bL\d/.test(rule) ? [expect.error!, 'too-large'] : [expect.error!];
}

/** Errors that are no `LayerError`, because a blob or an image is refused for them before it is seen as layers. */
const classes: Readonly<Record<string, string>> = {
  ERR_LADING_DIGEST_MISMATCH: 'digest-mismatch',
  ERR_LADING_SIZE_MISMATCH: 'digest-mismatch',
  ERR_LADING_IMAGE_CONFIG_INVALID: 'bad-config',
  ERR_LADING_TOO_MANY_LAYERS: 'too-large',
};

function classOf(error: unknown): string | undefined {
  const { data } = error as { data?: { class?: unknown } };
  return typeof data?.class === 'string' ? data.class : classes[errorCode(error) ?? ''];
}

interface Root {
  readonly way: string;
  readonly path: string;
}

/** Loads the image into a store of its own, as `lading load` does, and makes root file systems of it, as containers get. */
async function makeRoots(testCase: CorpusCase, store: Store, host: Host, dir: string): Promise<Root[]> {
  const { chainIDs, configDiffIDs } = testCase;
  const node = { store, unpack: host.pool };
  const { imageId } = await loadImage(node, caseImage(testCase, host.corpusDir), imageName);
  const chain = chainIds(configDiffIDs.map(parseDigest));
  if (chain.join() !== chainIDs.join()) throw new Error(`the chainIDs are ${chain.join()}`);
  const support = await store.overlay();
  const copied = join(dir, 'copied');
  mkdirSync(copied);
  await copyRootfs(node, imageId, copied);
  const roots: Root[] = [{ way: `copied from layers for ${support.mode}`, path: copied }];
  if (support.mode === 'copy') return roots;
  const mounted = join(dir, 'mounted');
  mkdirSync(mounted);
  const { lowers } = await rootfsOf({ store }, imageId);
  mountOverlay({ lowers, target: mounted, support });
  return [...roots, { way: 'mounted', path: mounted }];
}

/** A refused image is not there, under no name. */
function visible({ images, names }: Store): string[] {
  return [...images.list().map(({ id }) => id), ...names.list().map(({ name }) => name)];
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
