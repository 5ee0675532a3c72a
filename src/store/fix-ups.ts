import { join } from 'node:path';
import { type Digest, digestHex } from '../oci/digest.ts';
import type { Database } from './database.ts';
import { isFolder } from './disk.ts';
import { StagedFolder } from './staged-folder.ts';
import type { Trash } from './trash.ts';

/** A fix-up layer in the making. Ends with one of its methods. */
export interface FixUpWriter {
  /** Empty, 0755. */
  readonly dir: string;
  /** Where the record of its directories belongs. */
  readonly entriesFile: string;
  publish(): Promise<void>;
  /** The chain needs none; that is remembered. */
  notNeeded(): Promise<void>;
  discard(): Promise<void>;
}

/**
 * Fix-up layers by chainID: what unpacked layers lack because they were unpacked without knowing what is below them,
 * in `<root>/fixups/<hex>/` with `fs/` and `entries`. Most chains need none.
 * @see layers.md 19
 */
export class FixUps {
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

  /** `unknown` until it has been worked out for this chain, or if its folder is lost. */
  state(chainId: Digest): 'needed' | 'not-needed' | 'unknown' {
    const row = this.#database.get<{ needed: number }>('SELECT needed FROM fix_ups WHERE chain_id = ?', chainId);
    if (row === undefined) return 'unknown';
    if (row.needed === 0) return 'not-needed';
    return isFolder(this.dir(chainId)) ? 'needed' : 'unknown';
  }

  /** Whether there is one according to the database. */
  isKnown(chainId: Digest): boolean {
    const row = this.#database.get('SELECT 1 FROM fix_ups WHERE chain_id = ? AND needed = 1', chainId);
    return row !== undefined;
  }

  /** Its directory, the topmost lower directory of the chain. */
  dir(chainId: Digest): string {
    return join(this.folder(chainId), 'fs');
  }

  /** Those of earlier versions have none. */
  entriesFile(chainId: Digest): string {
    return join(this.folder(chainId), 'entries');
  }

  folder(chainId: Digest): string {
    return join(this.#root, 'fixups', digestHex(chainId));
  }

  list(): Digest[] {
    const rows = this.#database.all<{ chain_id: string }>('SELECT chain_id FROM fix_ups WHERE needed = 1');
    return rows.map((row) => row.chain_id as Digest);
  }

  /** @returns undefined if its state is known (now) */
  async prepare(chainId: Digest, options: { signal?: AbortSignal | undefined } = {}): Promise<FixUpWriter | undefined> {
    const staged = await StagedFolder.open(join(this.#root, 'ingest', `fixup-${digestHex(chainId)}`), {
      target: this.folder(chainId),
      trash: this.#trash,
      signal: options.signal,
    });
    if (this.state(chainId) !== 'unknown') {
      await staged.discard();
      return undefined;
    }
    const dir = await staged.makeTree();
    return {
      dir,
      entriesFile: join(staged.path, 'entries'),
      publish: async () => {
        await staged.publish();
        this.#insert(chainId, 1);
      },
      notNeeded: async () => {
        await staged.discard();
        this.#insert(chainId, 0);
      },
      discard: () => staged.discard(),
    };
  }

  #insert(chainId: Digest, needed: 0 | 1): void {
    const sql = 'INSERT INTO fix_ups VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET needed = excluded.needed';
    this.#database.transaction(() => this.#database.run(sql, chainId, needed, this.#now()));
  }
}
