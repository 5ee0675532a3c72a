import type { Digest } from '../oci/digest.ts';
import type { Database } from './database.ts';

/** When containers of this node last had its images; images in use now are those with a lease. */
export class ImageUses {
  readonly #database: Database;
  readonly #now: () => number;

  constructor(database: Database, { now }: { now: () => number }) {
    this.#database = database;
    this.#now = now;
  }

  /** They are used at this moment; images that are not here are passed over. A power cut may forget it, a kill does not. */
  note(ids: Iterable<Digest>): void {
    const sql = `INSERT INTO image_uses SELECT id, ? FROM images WHERE id = ?
      ON CONFLICT DO UPDATE SET last_ms = excluded.last_ms`;
    this.#database.unsyncedTransaction(() => {
      for (const id of ids) this.#database.run(sql, this.#now(), id);
    });
  }

  /** Milliseconds since 1970, by image; images that no container has had are missing. */
  list(): Map<Digest, number> {
    const rows = this.#database.all<{ image_id: string; last_ms: number }>('SELECT * FROM image_uses');
    return new Map(rows.map(({ image_id, last_ms }) => [image_id as Digest, last_ms]));
  }
}
