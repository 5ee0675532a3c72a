import { readdirSync, type Stats, statSync } from 'node:fs';
import { join } from 'node:path';
import { crashPoint } from '../lib/crash-point.ts';
import { errorCode } from '../lib/errors.ts';
import { chainIds } from '../oci/chain-id.ts';
import { type Digest, digestHex, isDigest } from '../oci/digest.ts';
import { isIndexType } from '../oci/media-types.ts';
import { removeUnlessLocked } from './blob-put.ts';
import { claimedBlobs, forgetLayerBlobs, neededBlobs } from './compressed-layers.ts';
import { lockFolder } from './folder-lock.ts';
import { digestsOf } from './images.ts';
import type { NameRecord } from './names.ts';
import { ownManifests } from './own-manifests.ts';
import { type Step, Steps } from './steps.ts';
import type { StoreParts } from './store-parts.ts';
import type { EmptiedTrash, NotDeleted } from './trash.ts';

export interface GarbageOptions {
  /** Says what would go, and changes nothing. */
  readonly dryRun?: boolean;
}

export interface GarbageReport {
  readonly images: readonly Digest[];
  /** By diffID. */
  readonly layers: readonly Digest[];
  /** By chainID. */
  readonly fixUps: readonly Digest[];
  readonly blobs: readonly Digest[];
  /** Keys of unfinished downloads. */
  readonly ingests: readonly string[];
  readonly freedBytes: number;
  /** What was removed and still takes room. */
  readonly notDeleted: readonly NotDeleted[];
  readonly steps: readonly Step[];
}

/**
 * Content that nothing refers to and that never belonged to an image is kept this long, by the time it got its name:
 * a pull that was killed goes on with it.
 */
const orphanGraceMs = 60 * 60 * 1000;
/** Unfinished downloads that nobody has gone on with for so long are dropped. */
const ingestExpiryMs = 24 * 60 * 60 * 1000;

interface Marks {
  readonly images: Set<string>;
  readonly blobs: Set<string>;
  readonly layers: Set<string>;
  readonly fixUps: Set<string>;
}

/**
 * Removes what no name and no lease reaches. Rows go first, in one transaction with the decision; files go afterwards,
 * in another one that looks again for rows and leases, so that who takes a lease either keeps the file or does not
 * find it.
 * @see layers.md 15
 */
export async function collectGarbage(store: StoreParts, options: GarbageOptions = {}): Promise<GarbageReport> {
  const sweep = new Sweep(store);
  const steps = new Steps();
  await steps.run('rows', () => sweep.rows(options));
  crashPoint('garbage-rows');
  await steps.run('files', () => sweep.files(options));
  crashPoint('garbage-files');
  await steps.run('ingests', () => sweep.unfinished(options));
  let notDeleted: readonly NotDeleted[] = [];
  if (!options.dryRun) {
    await steps.run('trash', async () => {
      const emptied = await emptyTrash(store);
      notDeleted = emptied.notDeleted;
      return emptied.tried;
    });
  }
  return { ...sweep.report(), notDeleted, steps: steps.list };
}

/** A damaged layer is replaced for new containers only: others have it mounted. @see layers.md 18 */
export function emptyTrash(store: StoreParts): Promise<EmptiedTrash> {
  return store.trash.empty(usedByName(store));
}

/** Names in the trash of what `emptyTrash` would delete. */
export function unusedTrash(store: StoreParts): string[] {
  return store.trash.list(usedByName(store));
}

function usedByName({ leases }: StoreParts): (name: string) => boolean {
  const used = new Set([...leases.keys('layer'), ...leases.keys('fix-up')].map((key) => digestHex(key as Digest)));
  return (name) => used.has(name);
}

interface Found {
  readonly kind: 'images' | 'layers' | 'fixUps' | 'blobs' | 'ingests';
  readonly key: string;
  readonly bytes: number;
}

class Sweep {
  readonly found: Found[] = [];
  readonly #store: StoreParts;
  /** Blobs that had an image until now. */
  readonly #released = new Set<string>();

  constructor(store: StoreParts) {
    this.#store = store;
  }

  rows({ dryRun }: GarbageOptions): number {
    const { database, images, layers, fixUps, leases } = this.#store;
    return this.#deciding(dryRun, () => {
      this.found.length = 0;
      if (!dryRun) leases.prune();
      const marks = mark(this.#store, 'needed');
      for (const image of images.list().filter(({ id }) => !marks.images.has(id))) {
        for (const digest of digestsOf(image)) this.#released.add(digest);
        this.found.push({ kind: 'images', key: image.id, bytes: 0 });
        if (!dryRun) images.remove(image.id);
      }
      if (this.#store.keepCompressedLayers !== 'always') this.#layerBlobs(marks, dryRun);
      for (const { digest } of database.all<{ digest: string }>('SELECT digest FROM released'))
        this.#released.add(digest);
      for (const layer of layers.list().filter(({ diffId }) => !marks.layers.has(diffId))) {
        this.found.push({ kind: 'layers', key: layer.diffId, bytes: layer.bytes });
        if (!dryRun) database.run('DELETE FROM layers WHERE diff_id = ?', layer.diffId);
      }
      for (const chainId of fixUps.list().filter((id) => !marks.fixUps.has(id))) {
        this.found.push({ kind: 'fixUps', key: chainId, bytes: 0 });
        if (!dryRun) database.run('DELETE FROM fix_ups WHERE chain_id = ?', chainId);
      }
      if (!dryRun) forgetChains(this.#store, marks);
      return this.found.length;
    });
  }

  /** Blobs of unpacked layers that this store does not keep; images must not miss them. */
  #layerBlobs(marks: Marks, dryRun: boolean | undefined): void {
    for (const image of this.#store.images.list().filter(({ id }) => marks.images.has(id))) {
      for (const { descriptor } of image.layers) this.#released.add(descriptor.digest);
      if (dryRun) continue;
      forgetLayerBlobs(
        this.#store,
        image,
        ({ descriptor, blobNotStored }) => !blobNotStored && !marks.blobs.has(descriptor.digest),
      );
    }
  }

  files({ dryRun }: GarbageOptions): number {
    const before = this.found.length;
    return this.#deciding(dryRun, () => {
      this.found.length = before;
      // What an image has written down as stored since the first decision stays.
      const marks = mark(this.#store, dryRun || this.#store.keepCompressedLayers === 'always' ? 'needed' : 'claimed');
      this.#folders('layers', marks.layers, dryRun);
      this.#folders('fixUps', marks.fixUps, dryRun);
      this.#blobs(marks.blobs, dryRun);
      if (!dryRun) this.#forgetReleased(marks.blobs);
      return this.found.length - before;
    });
  }

  async unfinished({ dryRun }: GarbageOptions): Promise<number> {
    const folder = join(this.#store.root, 'ingest');
    const before = this.found.length;
    for (const key of names(folder)) {
      const path = join(folder, key);
      const found = statOf(path);
      const data = found?.isFile() ? found : statOf(join(path, 'data'));
      const lastWrite = Math.max(found?.mtimeMs ?? 0, data?.mtimeMs ?? 0);
      if (this.#store.now() - lastWrite < ingestExpiryMs) continue;
      const remove = () => (found?.isFile() ? removeUnlessLocked(path) : this.#removeIngest(path));
      if (dryRun || (await remove())) this.found.push({ kind: 'ingests', key, bytes: data?.size ?? 0 });
    }
    return this.found.length - before;
  }

  /** @returns false while somebody writes to it */
  async #removeIngest(path: string): Promise<boolean> {
    const lock = await lockFolder(path, { whenBusy: 'give-up' });
    if (!lock) return false;
    await this.#store.trash.remove(path);
    await lock.release();
    return true;
  }

  report(): Omit<GarbageReport, 'notDeleted' | 'steps'> {
    const keys = (kind: Found['kind']) => [
      ...new Set(this.found.filter((found) => found.kind === kind).map((found) => found.key)),
    ];
    return {
      images: keys('images') as Digest[],
      layers: keys('layers') as Digest[],
      fixUps: keys('fixUps') as Digest[],
      blobs: keys('blobs') as Digest[],
      ingests: keys('ingests'),
      freedBytes: this.found.reduce((sum, { bytes }) => sum + bytes, 0),
    };
  }

  /** Looking needs no lock, so that it works on a store that is open for reading. */
  #deciding(dryRun: boolean | undefined, decide: () => number): number {
    return dryRun ? decide() : this.#store.database.removal(decide);
  }

  /** Folders without a row: those of rows just deleted, and what a kill between rename and row left long ago. */
  #folders(kind: 'layers' | 'fixUps', marked: Set<string>, dryRun: boolean | undefined): void {
    const { root, database, trash } = this.#store;
    const [folder, sql] =
      kind === 'layers'
        ? ['layers', 'SELECT 1 FROM layers WHERE diff_id = ?']
        : ['fixups', 'SELECT 1 FROM fix_ups WHERE chain_id = ? AND needed = 1'];
    const decided = new Set(this.found.map(({ key }) => key));
    for (const hex of names(join(root, folder))) {
      const key = `sha256:${hex}`;
      const path = join(root, folder, hex);
      if (!isDigest(key) || marked.has(key) || database.get(sql, key)) continue;
      if (!decided.has(key)) {
        if (this.#isYoung(statOf(path))) continue;
        this.found.push({ kind, key, bytes: 0 });
      }
      if (!dryRun) trash.take(path);
    }
  }

  #blobs(marked: Set<string>, dryRun: boolean | undefined): void {
    const { root, blobs, trash } = this.#store;
    for (const algorithm of names(join(root, 'blobs'))) {
      for (const hex of names(join(root, 'blobs', algorithm))) {
        const digest = `${algorithm}:${hex}`;
        if (!isDigest(digest) || marked.has(digest)) continue;
        const stat = statOf(blobs.path(digest));
        if (!stat || (!this.#released.has(digest) && this.#isYoung(stat))) continue;
        this.found.push({ kind: 'blobs', key: digest, bytes: stat.size });
        if (!dryRun) trash.take(blobs.path(digest));
      }
    }
  }

  #forgetReleased(marked: Set<string>): void {
    const { database } = this.#store;
    for (const digest of this.#released) {
      if (!marked.has(digest)) database.run('DELETE FROM released WHERE digest = ?', digest);
    }
  }

  #isYoung(stat: Stats | undefined): boolean {
    return stat !== undefined && this.#store.now() - stat.ctimeMs < orphanGraceMs;
  }
}

/** What names and leases reach. */
function mark(store: StoreParts, layerBlobs: 'claimed' | 'needed'): Marks {
  const { blobs, names, images, leases } = store;
  const digestsToKeep = layerBlobs === 'claimed' ? claimedBlobs : neededBlobs(store);
  const marks: Marks = {
    images: leases.keys('image'),
    blobs: leases.keys('blob'),
    layers: leases.keys('layer'),
    fixUps: leases.keys('fix-up'),
  };
  /** Several names, the digest among them, have the same. */
  const indexes = new Map<string, Pick<NameRecord, 'target' | 'imageId'>>();
  for (const { target, imageId } of names.list()) {
    marks.images.add(imageId);
    marks.blobs.add(target.digest);
    if (isIndexType(target.mediaType)) indexes.set(`${target.digest} ${imageId}`, { target, imageId });
  }
  for (const { target, imageId } of indexes.values()) {
    for (const { way } of ownManifests(blobs, target, imageId)) for (const { digest } of way) marks.blobs.add(digest);
  }
  for (const image of images.list()) {
    if (!marks.images.has(image.id)) continue;
    for (const digest of digestsToKeep(image)) marks.blobs.add(digest);
    const diffIds = image.layers.map(({ diffId }) => diffId);
    for (const diffId of diffIds) marks.layers.add(diffId);
    for (const chainId of chainIds(diffIds).slice(-1)) marks.fixUps.add(chainId);
  }
  return marks;
}

/** Of chains that need no fix-up layer there is only a row. */
function forgetChains({ database }: StoreParts, marks: Marks): void {
  for (const row of database.all<{ chain_id: string }>('SELECT chain_id FROM fix_ups WHERE needed = 0')) {
    if (!marks.fixUps.has(row.chain_id)) database.run('DELETE FROM fix_ups WHERE chain_id = ?', row.chain_id);
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

function statOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}
