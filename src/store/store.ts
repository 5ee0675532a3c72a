import { chmodSync, existsSync, lstatSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crashPoint } from '../lib/crash-point.ts';
import { errorCode, LadingError } from '../lib/errors.ts';
import type { OverlaySupport } from '../lib/overlay.ts';
import { isDigest } from '../oci/digest.ts';
import { BlobStore } from './blob-store.ts';
import { type CheckOptions, type CheckReport, checkStore } from './check.ts';
import { dropLayerBlobs, type KeepCompressedLayers } from './compressed-layers.ts';
import { Database } from './database.ts';
import { diskError, makeFolder } from './disk.ts';
import { type DiskUsage, diskUsage } from './disk-usage.ts';
import { Events } from './events.ts';
import { FixUps } from './fix-ups.ts';
import { lockFolder } from './folder-lock.ts';
import { collectGarbage, emptyTrash, type GarbageOptions, type GarbageReport } from './garbage.ts';
import { ImageUses } from './image-uses.ts';
import { type ImageLayer, Images } from './images.ts';
import { Layers } from './layers.ts';
import { removeUnfinished, writeLayout } from './layout.ts';
import { type Lease, Leases } from './leases.ts';
import { Names } from './names.ts';
import { OverlayMemory } from './overlay-memory.ts';
import { Reserve } from './reserve.ts';
import { Starts } from './starts.ts';
import type { StoreParts } from './store-parts.ts';
import { Trash } from './trash.ts';

export interface StoreOptions {
  /** Creates and changes nothing; a root that does not exist is an empty store. */
  readonly readOnly?: boolean | undefined;
  /**
   * With `readOnly`: an existing folder where containers can be kept while they run. Rows can be changed then, until the
   * store is closed.
   */
  readonly stateFolder?: string | undefined;
  /** Whether images of this node are unpacked; by default where Linux is. Elsewhere nothing can run and blobs are all. */
  readonly unpacks?: boolean | undefined;
  /** Default `always`. */
  readonly keepCompressedLayers?: KeepCompressedLayers | undefined;
  /** How layers are stacked, if it is not to be found out by trying. */
  readonly overlay?: OverlaySupport | undefined;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
}

/** One node's disk. Open it with `openStore`. */
export class Store implements StoreParts {
  readonly root: string;
  readonly readOnly: boolean;
  /** Where containers and all that belongs to them are kept while they run: the root, if it can be written to. */
  readonly stateFolder: string;
  readonly unpacks: boolean;
  readonly keepCompressedLayers: KeepCompressedLayers;
  readonly blobs: BlobStore;
  readonly names: Names;
  readonly images: Images;
  readonly layers: Layers;
  readonly fixUps: FixUps;
  readonly leases: Leases;
  readonly imageUses: ImageUses;
  readonly starts: Starts;
  readonly events: Events;
  readonly database: Database;
  readonly trash: Trash;
  readonly now: () => number;
  readonly #reserve: Reserve;
  readonly #overlay: OverlayMemory;

  constructor(root: string, database: Database, options: StoreOptions & { now: () => number; reserve: Reserve }) {
    const { now } = options;
    this.root = root;
    this.readOnly = options.readOnly ?? false;
    this.stateFolder = options.stateFolder ?? root;
    this.unpacks = options.unpacks ?? process.platform === 'linux';
    this.keepCompressedLayers = this.unpacks ? (options.keepCompressedLayers ?? 'always') : 'always';
    this.now = now;
    this.database = database;
    this.#reserve = options.reserve;
    this.trash = new Trash(root);
    this.blobs = new BlobStore(root);
    const changed = () => (this.readOnly ? undefined : writeLayout(root, this.names.list()));
    this.names = new Names(database, { now, changed });
    this.images = new Images(database, { names: this.names, now });
    this.layers = new Layers(root, { database, trash: this.trash, now });
    this.fixUps = new FixUps(root, { database, trash: this.trash, now });
    this.leases = new Leases(database, { images: this.images, now });
    this.imageUses = new ImageUses(database, { now });
    this.starts = new Starts(database, { now });
    this.events = new Events(database, { now });
    this.#overlay = new OverlayMemory(this, options.overlay);
  }

  /**
   * How this process can stack the layers of this store; probed once and remembered.
   * @throws LadingError `ERR_LADING_STORE_FORM` if its layers were unpacked for another way of stacking
   */
  overlay(): Promise<OverlaySupport> {
    return this.#overlay.support();
  }

  diskUsage(): Promise<DiskUsage> {
    return diskUsage(this);
  }

  /** Looks for everything that is not as the store promises, and repairs it if it is told how. */
  check(options: CheckOptions = {}): Promise<CheckReport> {
    return checkStore(this, options);
  }

  /**
   * Removes the blobs of layers that are unpacked, where the store does not keep them.
   * @param own a lease on them that does not count
   */
  async dropLayerBlobs(layers: readonly Pick<ImageLayer, 'descriptor' | 'diffId'>[], own?: Lease): Promise<void> {
    if (!this.readOnly) await dropLayerBlobs(this, layers, own);
  }

  /**
   * Refuses work that has to write.
   * @param what names it
   * @throws LadingError `ERR_LADING_DISK_READ_ONLY`
   */
  requireWritable(what: string): void {
    if (this.readOnly) throw diskError(Object.assign(new Error('read-only'), { code: 'EROFS' }), what, this.root);
  }

  /** Removes what no name and no lease reaches. */
  async collectGarbage(options: GarbageOptions = {}): Promise<GarbageReport> {
    const report = await collectGarbage(this, options);
    if (!options.dryRun) this.#reserve.keep();
    return report;
  }

  close(): void {
    this.database.close();
  }
}

/**
 * Opens the store of a node; creates it if it is not there, and puts right what a killed process left.
 * @throws LadingError `ERR_LADING_STORE_NEWER`, `ERR_LADING_STORE_DAMAGED`, `ERR_LADING_DISK_FULL`,
 * `ERR_LADING_DISK_READ_ONLY`, `ERR_LADING_DISK_DENIED`
 */
export async function openStore(root: string, options: StoreOptions = {}): Promise<Store> {
  const now = options.now ?? Date.now;
  const reserve = new Reserve(root);
  const databaseFile = join(root, 'lading.db');
  if (options.readOnly) {
    requireReadable(root);
    requireFolders(root);
    const isFixed = options.stateFolder === undefined;
    const database = isFixed ? Database.openReadOnly(databaseFile) : Database.openCopy(databaseFile, reserve);
    return new Store(root, database, { ...options, now, reserve });
  }
  try {
    await makeRoot(root);
    requireFolders(root);
    const lock = await lockFolder(root);
    crashPoint('store-locked');
    let store: Store | undefined;
    try {
      store = new Store(root, Database.open(databaseFile, reserve), { ...options, now, reserve });
      crashPoint('store-opened');
      await recover(store);
      crashPoint('store-recovered');
      reserve.keep();
      return store;
    } catch (error) {
      store?.close();
      throw error;
    } finally {
      await lock?.release();
    }
  } catch (error) {
    throw diskError(error, 'open the store', root);
  }
}

/** A node that is not there yet has nothing; one that somebody else owns is not empty. */
function requireReadable(root: string): void {
  try {
    readdirSync(root);
  } catch (error) {
    if (errorCode(error) !== 'ENOENT') throw diskError(error, 'open the store', root);
  }
}

/** Those above others first. */
const folders = ['blobs', 'blobs/sha256', 'blobs/sha512', 'layers', 'fixups', 'ingest', 'trash'];

/** With something else in the place of one, all that is in it would count as lost, and nothing could be put there again. */
function requireFolders(root: string): void {
  for (const path of folders.map((folder) => join(root, folder))) {
    const isThere = lstatSync(path, { throwIfNoEntry: false }) !== undefined;
    if (!isThere || statSync(path, { throwIfNoEntry: false })?.isDirectory()) continue;
    throw new LadingError('ERR_LADING_STORE_DAMAGED', `cannot open the store: ${path} is not a folder`, {
      hint: 'Move it away, then run `lading check --repair`, which fetches and unpacks again what is missing.',
      data: { path },
    });
  }
}

/** What images are made of is for nobody else's eyes; one that was there has the rights that somebody gave it. */
async function makeRoot(root: string): Promise<void> {
  if (existsSync(root)) return;
  await makeFolder(root);
  chmodSync(root, 0o700);
}

/** A folder without a row is younger than this while the process that renamed it writes the row. */
const renamedLatelyMs = 60 * 60 * 1000;

/** Looks at names of folders only: as fast for a full store as for an empty one. */
async function recover(store: Store): Promise<void> {
  const { root, layers, trash } = store;
  removeUnfinished(root);
  writeLayout(root, store.names.list());
  const known = new Set(layers.list().map(({ diffId }) => layers.folder(diffId)));
  const unknown = namesIn(join(root, 'layers')).filter((hex) => !known.has(join(root, 'layers', hex)));
  // One transaction for all of them: each waits for the disk.
  if (unknown.length > 0) {
    store.database.transaction(() => {
      for (const hex of unknown) settleLayer(store, hex);
    });
  }
  store.blobs.removeAbandonedPuts();
  await takeEmptyIngests(join(root, 'ingest'), trash);
  void emptyTrash(store);
}

/** A folder without a row is a layer that was published just before a kill, or is thrown away. */
function settleLayer({ root, layers, trash, now }: Store, hex: string): void {
  const diffId = `sha256:${hex}`;
  if (!isDigest(diffId) || layers.adopt(diffId)) return;
  const folder = join(root, 'layers', hex);
  const stat = statSync(folder, { throwIfNoEntry: false });
  if (stat && now() - stat.ctimeMs > renamedLatelyMs) trash.take(folder);
}

/**
 * What a kill leaves between the publication of content and the removal of its ingest. A rename takes little time for
 * each, while ext4 took up to half a millisecond to remove one.
 */
async function takeEmptyIngests(folder: string, trash: Trash): Promise<void> {
  for (const key of namesIn(folder)) {
    const path = join(folder, key);
    if (!isEmptyFolder(path)) continue;
    const lock = await lockFolder(path, { whenBusy: 'give-up' });
    try {
      // Its holder may have written to it since.
      if (lock && isEmptyFolder(path)) trash.take(path);
    } catch {
      // A full disk may have no room for a trash.
    } finally {
      await lock?.release();
    }
  }
}

function isEmptyFolder(path: string): boolean {
  try {
    return readdirSync(path).length === 0;
  } catch {
    return false;
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
