import { uptime } from 'node:os';
import { isAlive, type ProcessIdentity, thisProcess } from '../lib/process-identity.ts';
import { chainIds } from '../oci/chain-id.ts';
import type { Digest } from '../oci/digest.ts';
import type { Database } from './database.ts';
import { digestsOf, type Images } from './images.ts';

/** What a lease keeps from the collector. It may name what does not exist yet. */
export interface LeaseContent {
  /** Blobs. */
  readonly digests?: readonly Digest[];
  /** Unpacked layers. */
  readonly diffIds?: readonly Digest[];
  /** Fix-up layers. */
  readonly chainIds?: readonly Digest[];
  /** Images that are on this node: each with its blobs, layers and fix-up, also after the image has been removed. */
  readonly images?: readonly Digest[];
}

export type LeaseKind = 'blob' | 'layer' | 'fix-up' | 'image';

export interface Lease {
  readonly id: number;
  /** Names more to keep. What is found to exist after this call stays. */
  add(content: LeaseContent): void;
  /** Ends the lease; a second time does nothing. */
  release(): void;
}

interface LeaseRow {
  readonly id: number;
  readonly owner: string;
  readonly created_ms: number;
  readonly created_uptime_ms: number;
  readonly expires_after_ms: number | null;
}

/**
 * Work in progress and running containers, kept from the collector. Taken before the first byte is written and before
 * "already there" is believed. A lease is void when its process is gone, or after its expiry.
 * @see layers.md 15
 */
export class Leases {
  readonly #database: Database;
  readonly #images: Images;
  readonly #now: () => number;

  constructor(database: Database, options: { images: Images; now: () => number }) {
    this.#database = database;
    this.#images = options.images;
    this.#now = options.now;
  }

  /** @param options.expiresMs after this time it is void even if this process lives; unless given, never */
  acquire(content: LeaseContent = {}, options: { expiresMs?: number } = {}): Lease {
    const id = this.#database.transaction(() => {
      const row = this.#database.run(
        'INSERT INTO leases (owner, created_ms, created_uptime_ms, expires_after_ms) VALUES (?, ?, ?, ?)',
        ...[JSON.stringify(thisProcess()), this.#now(), uptimeMs(), options.expiresMs ?? null],
      );
      this.#insert(row.id, content);
      return row.id;
    });
    return {
      id,
      add: (more) => this.#database.transaction(() => this.#insert(id, more)),
      release: () => this.#database.unsyncedRemoval(() => void this.#delete(id)),
    };
  }

  /** Keys of a kind that a valid lease keeps, another one than `except`. */
  keys(kind: LeaseKind, { except }: { except?: Lease | undefined } = {}): Set<string> {
    const void_ = new Set(this.#voidLeases());
    const rows = this.#database.all<{ lease_id: number; key: string }>(
      'SELECT lease_id, key FROM lease_items WHERE kind = ?',
      kind,
    );
    if (except) void_.add(except.id);
    return new Set(rows.filter((row) => !void_.has(row.lease_id)).map((row) => row.key));
  }

  /** Deletes leases that are void. @returns how many */
  prune(): number {
    return this.#database.removal(() => {
      const ids = this.#voidLeases();
      for (const id of ids) this.#delete(id);
      return ids.length;
    });
  }

  #insert(id: number, content: LeaseContent): void {
    const items: Array<[LeaseKind, Digest]> = [
      ...(content.digests ?? []).map((key): [LeaseKind, Digest] => ['blob', key]),
      ...(content.diffIds ?? []).map((key): [LeaseKind, Digest] => ['layer', key]),
      ...(content.chainIds ?? []).map((key): [LeaseKind, Digest] => ['fix-up', key]),
      ...(content.images ?? []).flatMap((image) => this.#itemsOf(image)),
    ];
    for (const [kind, key] of items) {
      this.#database.run('INSERT OR IGNORE INTO lease_items VALUES (?, ?, ?)', id, kind, key);
    }
  }

  #itemsOf(id: Digest): Array<[LeaseKind, Digest]> {
    const image = this.#images.get(id);
    if (!image) return [['image', id]];
    const diffIds = image.layers.map(({ diffId }) => diffId);
    return [
      ['image', id],
      ...digestsOf(image).map((key): [LeaseKind, Digest] => ['blob', key]),
      ...diffIds.map((key): [LeaseKind, Digest] => ['layer', key]),
      ...chainIds(diffIds)
        .slice(-1)
        .map((key): [LeaseKind, Digest] => ['fix-up', key]),
    ];
  }

  #voidLeases(): number[] {
    const rows = this.#database.all<LeaseRow>('SELECT * FROM leases');
    return rows.filter((row) => !this.#isValid(row)).map((row) => row.id);
  }

  #isValid(row: LeaseRow): boolean {
    if (!isAlive(this.#database.document<ProcessIdentity>(row.owner))) return false;
    if (row.expires_after_ms === null) return true;
    // The wall clock may jump back; the owner lives, so both times are of this boot and the larger age is the true one.
    const ageMs = Math.max(this.#now() - row.created_ms, uptimeMs() - row.created_uptime_ms);
    return ageMs < row.expires_after_ms;
  }

  #delete(id: number): void {
    this.#database.run('DELETE FROM leases WHERE id = ?', id);
  }
}

function uptimeMs(): number {
  return Math.round(uptime() * 1000);
}
