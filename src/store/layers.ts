import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { crashPoint } from '../lib/crash-point.ts';
import { errorCode, LadingError } from '../lib/errors.ts';
import type { LayerFacts } from '../lib/layer-facts.ts';
import { readRegularFile } from '../lib/read-regular-file.ts';
import { type Digest, digestHex } from '../oci/digest.ts';
import type { Database } from './database.ts';
import { diskError, isFolder } from './disk.ts';
import { StagedFolder } from './staged-folder.ts';
import type { Trash } from './trash.ts';

/** A layer in the making. Ends with `publish` or `discard`. */
export interface LayerWriter {
  /** Empty, 0755; receives what is at the root of the layer. */
  readonly dir: string;
  /** Where the record of the layer's entries belongs. */
  readonly entriesFile: string;
  /**
   * Makes the layer visible, after all of it is on stable storage.
   * @throws LadingError `ERR_LADING_DIGEST_MISMATCH` if the facts are those of another layer
   */
  publish(facts: LayerFacts): Promise<void>;
  discard(): Promise<void>;
}

export interface StoredLayer {
  readonly diffId: Digest;
  /** Bytes of its regular files. */
  readonly bytes: number;
  readonly inodes: number;
}

/**
 * Unpacked layers by diffID, each in `<root>/layers/<hex>/` with `fs/` (a lower directory of overlayfs), `facts.json`
 * and `entries`. The same layer in ten images, at any height, is one folder; it never changes.
 * @see layers.md 14 and 19
 */
export class Layers {
  readonly #root: string;
  readonly #database: Database;
  readonly #trash: Trash;
  readonly #now: () => number;

  constructor(root: string, options: { database: Database; trash: Trash; now: () => number }) {
    this.#root = root;
    this.#database = options.database;
    this.#trash = options.trash;
    this.#now = options.now;
  }

  /** Whether the layer is published and can be stacked; its content is the business of `check`. */
  has(diffId: Digest): boolean {
    return this.isKnown(diffId) && this.#storedFacts(diffId) !== undefined;
  }

  /** Whether it is published according to the database. */
  isKnown(diffId: Digest): boolean {
    return this.#database.get('SELECT 1 FROM layers WHERE diff_id = ?', diffId) !== undefined;
  }

  /** The layer's lower directory. */
  dir(diffId: Digest): string {
    return join(this.folder(diffId), 'fs');
  }

  entriesFile(diffId: Digest): string {
    return join(this.folder(diffId), 'entries');
  }

  folder(diffId: Digest): string {
    return join(this.#root, 'layers', digestHex(diffId));
  }

  /** @throws LadingError `ERR_LADING_LAYER_MISSING`, `ERR_LADING_LAYER_DAMAGED` */
  async facts(diffId: Digest): Promise<LayerFacts> {
    let text: string | undefined;
    try {
      text = readRegularFile(this.#factsFile(diffId));
    } catch (error) {
      if (!notThere.has(errorCode(error) ?? '')) throw diskError(error, `read layer ${diffId}`, this.folder(diffId));
      throw new LadingError('ERR_LADING_LAYER_MISSING', `layer ${diffId} is not unpacked on this node`, {
        cause: error,
        hint: 'Pull the image again.',
        data: { diffId },
      });
    }
    const facts = parseFacts(text, diffId);
    if (typeof facts === 'string') {
      const problem = `the facts of layer ${diffId} (facts.json) ${facts}`;
      throw damaged(problem, { diffId, path: this.#factsFile(diffId) });
    }
    const path = this.dir(diffId);
    if (!isFolder(path)) throw damaged(`layer ${diffId} has no folder fs`, { diffId, path });
    return facts;
  }

  list(): StoredLayer[] {
    const rows = this.#database.all<{ diff_id: string; bytes: number; inodes: number }>(
      'SELECT diff_id, bytes, inodes FROM layers ORDER BY diff_id',
    );
    return rows.map((row) => ({ diffId: row.diff_id as Digest, bytes: row.bytes, inodes: row.inodes }));
  }

  /**
   * Begins to unpack a layer. Exclusive between all processes of this root: waits for whoever unpacks the same layer.
   * @param options.replace also if it is there: `publish` puts the new one in its place
   * @returns undefined if the layer is there (now)
   */
  async prepare(
    diffId: Digest,
    options: { signal?: AbortSignal | undefined; replace?: boolean | undefined } = {},
  ): Promise<LayerWriter | undefined> {
    const staged = await StagedFolder.open(join(this.#root, 'ingest', `layer-${digestHex(diffId)}`), {
      target: this.folder(diffId),
      trash: this.#trash,
      signal: options.signal,
    });
    if (!options.replace && (this.has(diffId) || this.adopt(diffId))) {
      await staged.discard();
      return undefined;
    }
    const dir = await staged.makeTree();
    return {
      dir,
      entriesFile: join(staged.path, 'entries'),
      publish: async (facts) => {
        if (facts.diffId !== diffId) {
          await staged.discard();
          throw new LadingError('ERR_LADING_DIGEST_MISMATCH', `the layer ${diffId} has the diffID ${facts.diffId}`, {
            hint: 'The image is broken: its configuration names other layers than its manifest. Ask whoever built it.',
            data: { expected: diffId, actual: facts.diffId },
          });
        }
        await this.#writeFacts(staged, facts);
        await staged.publish();
        await this.#insertOrDrop(diffId, facts);
        crashPoint('layer-published');
      },
      discard: () => staged.discard(),
    };
  }

  /**
   * Takes a folder that has its name but no row, as a kill between the two leaves it. Its name is proof: it got it
   * after everything in it was on stable storage.
   */
  adopt(diffId: Digest): boolean {
    return this.#database.transaction(() => {
      const facts = this.#storedFacts(diffId);
      if (facts) this.#insert(diffId, facts);
      return facts !== undefined;
    });
  }

  /** Undefined unless the folder has the facts that were written and the lower directory that they are about. */
  #storedFacts(diffId: Digest): LayerFacts | undefined {
    try {
      if (!isFolder(this.dir(diffId))) return undefined;
      const facts = parseFacts(readRegularFile(this.#factsFile(diffId)), diffId);
      return typeof facts === 'string' ? undefined : facts;
    } catch {
      return undefined;
    }
  }

  #factsFile(diffId: Digest): string {
    return join(this.folder(diffId), 'facts.json');
  }

  async #writeFacts(staged: StagedFolder, facts: LayerFacts): Promise<void> {
    try {
      writeFileSync(join(staged.path, 'facts.json'), JSON.stringify({ ...facts, crc32: checksumOf(facts) }));
    } catch (error) {
      await staged.discard();
      throw diskError(error, `unpack layer ${facts.diffId}`, this.#root);
    }
  }

  /** What a full disk has no room to write down gives its room back. */
  async #insertOrDrop(diffId: Digest, facts: LayerFacts): Promise<void> {
    try {
      this.#insert(diffId, facts);
    } catch (error) {
      // What this does not manage the next start does.
      await this.#dropUnknown(diffId).catch(() => undefined);
      throw error;
    }
  }

  /** Leaves a layer alone that another process has adopted meanwhile. */
  async #dropUnknown(diffId: Digest): Promise<void> {
    const take = () => (this.isKnown(diffId) ? undefined : this.#trash.take(this.folder(diffId)));
    const taken = this.#database.removal(take);
    if (taken !== undefined) await this.#trash.delete(taken);
  }

  #insert(diffId: Digest, facts: LayerFacts): void {
    this.#database.transaction(() =>
      this.#database.run(
        'INSERT OR IGNORE INTO layers VALUES (?, ?, ?, ?)',
        ...[diffId, facts.contentBytes, facts.entries, this.#now()],
      ),
    );
  }
}

/** The second one if its folder is none. */
const notThere = new Set(['ENOENT', 'ENOTDIR']);

function damaged(message: string, data: Readonly<Record<string, unknown>>): LadingError {
  const hint = 'Run `lading check --repair`, which unpacks what is damaged again.';
  return new LadingError('ERR_LADING_LAYER_DAMAGED', message, { hint, data });
}

/**
 * @param text undefined if it is no file that holds them
 * @returns the facts, or what is wrong with them
 */
function parseFacts(
  text: string | undefined,
  diffId: Digest,
): LayerFacts | 'are not in a file' | 'cannot be read' | 'are not those that were written' {
  if (text === undefined) return 'are not in a file';
  try {
    // Facts of earlier versions have no checksum.
    const { crc32: checksum, ...facts } = JSON.parse(text) as LayerFacts & { readonly crc32?: string };
    if (checksum !== undefined && checksum !== checksumOf(facts)) return 'are not those that were written';
    const lists = [facts.implied, facts.whiteouts, facts.opaques, facts.fresh];
    return facts.version === 1 && facts.diffId === diffId && lists.every(Array.isArray) ? facts : 'cannot be read';
  } catch {
    return 'cannot be read';
  }
}

/** Against damage, not malice. */
function checksumOf(facts: LayerFacts): string {
  return crc32(JSON.stringify(facts)).toString(16).padStart(8, '0');
}
