import type { Digest } from '../oci/digest.ts';
import type { Database } from './database.ts';

/** A container that ran what a name meant. Times are ISO 8601. */
export interface ContainerStarts {
  readonly digest: Digest;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly firstAt: string;
  readonly lastAt: string;
  /** How often it was started. */
  readonly count: number;
}

interface Row {
  readonly digest: string;
  readonly namespace: string;
  readonly pod: string;
  readonly container: string;
  readonly first_ms: number;
  readonly last_ms: number;
  readonly count: number;
}

/** Of each name, so that pods with new names all the time do not fill the disk. */
const maxKept = 200;

/** Which containers ran what the names of this node meant. */
export class Starts {
  readonly #database: Database;
  readonly #now: () => number;

  constructor(database: Database, { now }: { now: () => number }) {
    this.#database = database;
    this.#now = now;
  }

  /**
   * A container of the image was started under a name. Nothing is noted when the name never meant that image here: a
   * container can also be created by an image's id.
   */
  record(name: string, imageId: Digest, by: { namespace: string; pod: string; container: string }): void {
    this.#database.unsyncedTransaction(() => {
      const meaning = 'SELECT digest FROM names WHERE name = ? AND image_id = ? ORDER BY id DESC LIMIT 1';
      const digest = this.#database.get<{ digest: string }>(meaning, name, imageId)?.digest;
      if (digest === undefined) return;
      const now = this.#now();
      this.#database.run(
        `INSERT INTO starts VALUES (?, ?, ?, ?, ?, ?, ?, 1)
         ON CONFLICT DO UPDATE SET last_ms = excluded.last_ms, count = count + 1`,
        ...[name, digest, by.namespace, by.pod, by.container, now, now],
      );
      const newest = 'SELECT last_ms FROM starts WHERE name = ? ORDER BY last_ms DESC LIMIT 1 OFFSET ?';
      this.#database.run(`DELETE FROM starts WHERE name = ? AND last_ms <= (${newest})`, name, name, maxKept);
    });
  }

  /** The latest start first. */
  list(name: string): ContainerStarts[] {
    return this.#database
      .all<Row>('SELECT * FROM starts WHERE name = ? ORDER BY last_ms DESC', name)
      .map(({ digest, namespace, pod, container, first_ms, last_ms, count }) => {
        const [firstAt, lastAt] = [first_ms, last_ms].map((ms) => new Date(ms).toISOString()) as [string, string];
        return { digest: digest as Digest, namespace, pod, container, firstAt, lastAt, count };
      });
  }
}
