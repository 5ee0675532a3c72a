import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Database } from './database.ts';

/** What a name means on this node now. Times are ISO 8601. */
export interface NameRecord {
  /** Normalised, with tag or digest. */
  readonly name: string;
  /** The index or manifest that the registry named. */
  readonly target: Descriptor;
  readonly imageId: Digest;
  /** When the name began to mean this. */
  readonly firstSeen: string;
  /** When the registry last said that it means this. */
  readonly lastSeen: string;
}

/** One meaning that a name has had on this node. */
export interface NameMeaning {
  readonly digest: Digest;
  readonly imageId: Digest;
  readonly firstSeen: string;
  readonly lastSeen: string;
  /** When it ended, by another meaning or by removal; undefined for the one that holds. */
  readonly until?: string;
  /** Who gave the name this meaning: `pod default/web`, `lading pull`; undefined when nobody has said. */
  readonly pulledBy?: string;
}

/** What a name means from now on. */
export interface NewMeaning {
  readonly target: Descriptor;
  readonly imageId: Digest;
  /** Who wants that: `pod default/web`, `lading pull`. */
  readonly by?: string | undefined;
}

interface Row {
  readonly name: string;
  readonly digest: string;
  readonly target: string;
  readonly image_id: string;
  readonly first_ms: number;
  readonly last_ms: number;
  readonly until_ms: number | null;
  readonly pulled_by: string | null;
}

/** Normalised names of images, as `formatReference` gives them, and every digest that each has meant on this node. */
export class Names {
  readonly #database: Database;
  readonly #now: () => number;
  readonly #changed: () => void;

  /** @param changed called inside the transaction that changes what names mean */
  constructor(database: Database, options: { now: () => number; changed: () => void }) {
    this.#database = database;
    this.#now = options.now;
    this.#changed = options.changed;
  }

  /** What the name means now; undefined if no image of this node has it. */
  get(name: string): NameRecord | undefined {
    const row = this.#current(name);
    return row && this.#recordOf(row);
  }

  /** In order of the names, bytewise. */
  list(): NameRecord[] {
    return this.#database
      .all<Row>('SELECT * FROM names WHERE until_ms IS NULL ORDER BY name')
      .map((row) => this.#recordOf(row));
  }

  /** Meanings of the name, newest first; empty if it never was on this node. */
  history(name: string): NameMeaning[] {
    return this.#database.all<Row>('SELECT * FROM names WHERE name = ? ORDER BY id DESC', name).map(meaningOf);
  }

  /** Lets a name mean `target` from now on. The meaning that it had becomes history; the same meaning counts as seen again. */
  set(name: string, { target, imageId, by }: NewMeaning): void {
    this.#database.transaction(() => {
      const now = this.#now();
      const current = this.#current(name);
      if (current && current.digest === target.digest && current.image_id === imageId) {
        this.#seen(name, now);
        return;
      }
      this.#end(name, now);
      this.#database.run(
        'INSERT INTO names (name, digest, target, image_id, first_ms, last_ms, pulled_by) VALUES (?, ?, ?, ?, ?, ?, ?)',
        ...[name, target.digest, JSON.stringify(target), imageId, now, now, by ?? null],
      );
      this.#changed();
    });
  }

  /** The registry was asked, and the name means what it did. A name that is not there stays so. */
  touch(name: string): void {
    this.#database.unsyncedTransaction(() => this.#seen(name, this.#now()));
  }

  /** The name means nothing on this node any more; its history stays. @returns whether it meant something */
  remove(name: string): boolean {
    return this.#database.removal(() => {
      const removed = this.#end(name, this.#now());
      if (removed) this.#changed();
      return removed;
    });
  }

  /** Removes every name that means the image. */
  removeAllOf(imageId: Digest): void {
    this.#database.removal(() => {
      const sql = 'UPDATE names SET until_ms = ? WHERE image_id = ? AND until_ms IS NULL';
      if (this.#database.run(sql, this.#now(), imageId).changes > 0) this.#changed();
    });
  }

  #current(name: string): Row | undefined {
    return this.#database.get<Row>('SELECT * FROM names WHERE name = ? AND until_ms IS NULL', name);
  }

  #seen(name: string, now: number): void {
    this.#database.run('UPDATE names SET last_ms = ? WHERE name = ? AND until_ms IS NULL', now, name);
  }

  #end(name: string, now: number): boolean {
    const sql = 'UPDATE names SET until_ms = ? WHERE name = ? AND until_ms IS NULL';
    return this.#database.run(sql, now, name).changes > 0;
  }

  #recordOf(row: Row): NameRecord {
    return {
      name: row.name,
      target: this.#database.document<Descriptor>(row.target),
      imageId: row.image_id as Digest,
      firstSeen: iso(row.first_ms),
      lastSeen: iso(row.last_ms),
    };
  }
}

function meaningOf(row: Row): NameMeaning {
  return {
    digest: row.digest as Digest,
    imageId: row.image_id as Digest,
    firstSeen: iso(row.first_ms),
    lastSeen: iso(row.last_ms),
    ...(row.until_ms === null ? {} : { until: iso(row.until_ms) }),
    ...(row.pulled_by === null ? {} : { pulledBy: row.pulled_by }),
  };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
