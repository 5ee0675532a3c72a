import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { errorMessage, LadingError } from '../lib/errors.ts';
import { makeFolders } from '../lib/make-folders.ts';
import { migrations } from './schema.ts';

export type SqlValue = string | number | null | Uint8Array;
export type Row = Readonly<Record<string, unknown>>;

/** Longest wait for another process that changes something; the collector's transactions take milliseconds. */
const busyTimeoutMs = 10_000;
const sqliteBusy = 5;
const sqliteFull = 13;

/**
 * `<root>/registry.db`: SQLite in WAL mode, shared by the server and the collector. What has changed when a method
 * returns survives a kill of this process; what has changed `durably` is on stable storage.
 */
export class RegistryDatabase {
  readonly #sqlite: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /**
   * Opens, creates or upgrades.
   * @param options.create `false` refuses a folder in which there is no registry
   * @throws LadingError `ERR_LADING_DISTRIBUTION_IN_USE`, `ERR_LADING_DISTRIBUTION_TOO_NEW`, `ERR_LADING_DISTRIBUTION_ROOT`
   */
  constructor(root: string, options: { create?: boolean } = {}) {
    const path = join(root, 'registry.db');
    if (options.create === false && !existsSync(path)) throw noRegistry(root);
    try {
      makeFolders(root);
      this.#sqlite = new DatabaseSync(path, { timeout: busyTimeoutMs });
    } catch (error) {
      throw unusable(root, error);
    }
    try {
      this.#prepare(root);
    } catch (error) {
      this.#sqlite.close();
      if (error instanceof LadingError) throw error;
      throw resultCode(error) === sqliteBusy ? inUse(root, error) : unusable(root, error);
    }
  }

  get(sql: string, ...values: SqlValue[]): Row | undefined {
    return this.#statement(sql).get(...values);
  }

  all(sql: string, ...values: SqlValue[]): Row[] {
    return this.#statement(sql).all(...values);
  }

  iterate(sql: string, ...values: SqlValue[]): Iterable<Row> {
    return this.#statement(sql).iterate(...values);
  }

  /** @returns the number of rows that changed */
  run(sql: string, ...values: SqlValue[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }

  /** Runs `work` on one state of the rows, which others may go on changing. */
  snapshot<T>(work: () => T): T {
    return this.#transaction('BEGIN', work);
  }

  /** Runs `work` as the only writer of all processes; all of its changes hold or, after an error, none. */
  exclusively<T>(work: () => T): T {
    return this.#transaction('BEGIN IMMEDIATE', work);
  }

  /** As `exclusively`; everything that was changed until now is on stable storage afterwards. */
  durably<T>(work: () => T): T {
    this.#sqlite.exec('PRAGMA synchronous = FULL');
    try {
      return this.exclusively(work);
    } finally {
      this.#sqlite.exec('PRAGMA synchronous = NORMAL');
    }
  }

  /** Gives the room of deleted rows back to the file system. */
  shrink(): void {
    this.#sqlite.exec('PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE);');
  }

  close(): void {
    if (this.#sqlite.isOpen) this.#sqlite.close();
  }

  #prepare(root: string): void {
    const version = this.#version();
    if (version > migrations.length) throw tooNew(root, version);
    // It cannot be turned on later without writing the whole file anew.
    if (version === 0) this.#sqlite.exec('PRAGMA auto_vacuum = INCREMENTAL');
    this.#sqlite.exec(`
      PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
      CREATE TEMP TABLE live (digest TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
    `);
    if (version === migrations.length) return;
    this.durably(() => {
      for (let from = this.#version(); from < migrations.length; from += 1) {
        migrations[from]!(this, this.#sqlite);
        this.#sqlite.exec(`PRAGMA user_version = ${from + 1}`);
      }
    });
    if (version > 0) this.#sqlite.exec('PRAGMA auto_vacuum = INCREMENTAL; VACUUM;');
  }

  #version(): number {
    return (this.#sqlite.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;
  }

  #transaction<T>(begin: string, work: () => T): T {
    this.#sqlite.exec(begin);
    try {
      const result = work();
      this.#sqlite.exec('COMMIT');
      return result;
    } catch (error) {
      if (this.#sqlite.isTransaction) this.#sqlite.exec('ROLLBACK');
      throw error;
    }
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

/** Whether a change failed because the disk is full. */
export function isDatabaseFull(error: unknown): boolean {
  return resultCode(error) === sqliteFull;
}

/** @see https://www.sqlite.org/rescode.html */
function resultCode(error: unknown): unknown {
  return error instanceof Error && 'errcode' in error ? error.errcode : undefined;
}

/** The error for a folder that the registry cannot keep its content in. */
export function unusable(root: string, cause: unknown): LadingError {
  return new LadingError('ERR_LADING_DISTRIBUTION_ROOT', `the registry cannot use ${root}: ${errorMessage(cause)}`, {
    hint: 'Choose a folder that this user may write to.',
    cause,
    data: { root },
  });
}

/** The error for a folder that somebody else serves. */
export function inUse(root: string, cause?: unknown): LadingError {
  return new LadingError('ERR_LADING_DISTRIBUTION_IN_USE', `another registry is already serving ${root}`, {
    hint: 'Stop it, or give this one a folder of its own.',
    cause,
    data: { root },
  });
}

function noRegistry(root: string): LadingError {
  return new LadingError('ERR_LADING_DISTRIBUTION_ROOT', `there is no registry in ${root}`, {
    hint: '`lading registry serve` makes one. Is --root right?',
    data: { root },
  });
}

function tooNew(root: string, found: number): LadingError {
  const known = migrations.length;
  const message = `the registry in ${root} was written by a newer Lading (format ${found}, this one knows ${known})`;
  return new LadingError('ERR_LADING_DISTRIBUTION_TOO_NEW', message, {
    hint: 'Use that newer version, or another folder.',
    data: { root, found, known },
  });
}
