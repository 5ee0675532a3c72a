import type { Database } from './database.ts';

/** What happened on this node, as the Kubernetes API writes events down. */
export interface NodeEvent {
  readonly type: 'Normal' | 'Warning';
  readonly reason: string;
  readonly message: string;
  /** What to do about it, where somebody knows. */
  readonly hint?: string | undefined;
  readonly object: {
    readonly kind: string;
    readonly namespace: string;
    readonly name: string;
    readonly uid: string;
    /** `spec.containers{web}`; absent when the event is about the object as a whole. */
    readonly fieldPath?: string;
  };
  /** Facts for programs. */
  readonly data?: Readonly<Record<string, unknown>> | undefined;
}

/** An event as it is kept. Times are milliseconds since 1970. */
export interface StoredEvent extends NodeEvent {
  /** Grows with each occurrence of any event. */
  readonly id: number;
  readonly count: number;
  readonly firstAtMs: number;
  readonly lastAtMs: number;
}

export interface RecordOptions {
  /** What makes an event the same as an earlier one, instead of its message. */
  readonly sameAs?: string;
}

/** The API server's default (`--event-ttl`). */
const keptMs = 60 * 60 * 1000;
const maxKept = 5000;
/** Similar events of one object are told one by one only up to here, as by the kubelet's client (EventCorrelator). */
const maxSimilar = 10;
const similarWithinMs = 10 * 60 * 1000;

interface Row {
  readonly id: number;
  readonly event: string;
  readonly count: number;
  readonly first_ms: number;
  readonly last_ms: number;
}

/** The events of the last hour. They may be lost by a power cut, never by a kill. */
export class Events {
  readonly #database: Database;
  readonly #now: () => number;

  constructor(database: Database, { now }: { now: () => number }) {
    this.#database = database;
    this.#now = now;
  }

  /** Adds an event, or counts one that has happened before. Beyond ten similar ones only their latest is kept. */
  record(event: NodeEvent, { sameAs = event.message }: RecordOptions = {}): void {
    const { type, reason, object } = event;
    const similarTo = JSON.stringify([object.uid, object.fieldPath ?? '', type, reason]);
    this.#database.unsyncedTransaction(() => {
      const now = this.#now();
      if (!this.#replace(similarTo + sameAs, similarTo, event, now)) {
        const combined = { ...event, message: `(combined from similar events): ${event.message}` };
        const isTooMuch = this.#countSimilar(similarTo, now) >= maxSimilar;
        if (!isTooMuch) this.#insert(similarTo + sameAs, similarTo, event, { count: 1, firstMs: now, now });
        else if (!this.#replace(similarTo, similarTo, combined, now)) {
          this.#insert(similarTo, similarTo, combined, { count: 1, firstMs: now, now });
        }
      }
      this.#database.run('DELETE FROM events WHERE last_ms < ?', now - keptMs);
      const newest = 'SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?';
      this.#database.run(`DELETE FROM events WHERE id <= (${newest})`, maxKept);
    });
  }

  /** In the order in which they happened last. @param afterId only what has happened since then */
  list({ afterId = 0 }: { afterId?: number } = {}): StoredEvent[] {
    const sql = 'SELECT * FROM events WHERE id > ? AND last_ms >= ? ORDER BY id';
    return this.#database.all<Row>(sql, afterId, this.#now() - keptMs).map((row) => this.#eventOf(row));
  }

  #replace(sameAs: string, similarTo: string, event: NodeEvent, now: number): boolean {
    const known = this.#database.get<Row>('SELECT * FROM events WHERE same_as = ?', sameAs);
    if (!known) return false;
    this.#database.run('DELETE FROM events WHERE id = ?', known.id);
    this.#insert(sameAs, similarTo, event, { count: known.count + 1, firstMs: known.first_ms, now });
    return true;
  }

  #insert(
    sameAs: string,
    similarTo: string,
    event: NodeEvent,
    { count, firstMs, now }: { count: number; firstMs: number; now: number },
  ): void {
    const sql = 'INSERT INTO events (same_as, similar_to, event, count, first_ms, last_ms) VALUES (?, ?, ?, ?, ?, ?)';
    this.#database.run(sql, sameAs, similarTo, JSON.stringify(event), count, firstMs, now);
  }

  #countSimilar(similarTo: string, now: number): number {
    const sql = 'SELECT count(*) AS count FROM events WHERE similar_to = ? AND last_ms > ?';
    return this.#database.get<{ count: number }>(sql, similarTo, now - similarWithinMs)!.count;
  }

  #eventOf({ id, event, count, first_ms, last_ms }: Row): StoredEvent {
    return { id, ...this.#database.document<NodeEvent>(event), count, firstAtMs: first_ms, lastAtMs: last_ms };
  }
}
