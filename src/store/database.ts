import { accessSync, constants, existsSync, realpathSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { errorCode, errorMessage, LadingError } from '../lib/errors.ts';
import { diskError, isFull } from './disk.ts';
import { faultsOf, openCopyOf, openForReading, sharedMemoryNotGrown } from './open-for-reading.ts';
import type { Reserve } from './reserve.ts';
import { migrations } from './schema.ts';

type Row = Record<string, SQLInputValue>;

/** Beyond it SQLite opens no file: 512, less what it appends to the name for the files beside it. */
const maxPathBytes = 504;

/** Longest wait for another process that is writing; decisions take milliseconds. */
const busyTimeoutMs = 10_000;

/**
 * The metadata of one root: SQLite in WAL mode, each commit on stable storage. Decisions are made inside
 * `transaction`, which no other process can interleave with.
 * @see layers.md 16
 */
export class Database {
  readonly #path: string;
  #sqlite: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  /** Undefined when open for reading only. */
  readonly #reserve: Reserve | undefined;
  #inTransaction = false;

  private constructor(path: string, sqlite: DatabaseSync, reserve?: Reserve) {
    this.#path = path;
    this.#sqlite = sqlite;
    this.#reserve = reserve;
  }

  /**
   * Opens, creates or upgrades. The caller keeps other processes from doing the same at the same time.
   * @throws LadingError `ERR_LADING_STORE_NEWER` if a newer version of the program has written it, `ERR_LADING_STORE_DAMAGED`
   */
  static open(path: string, reserve: Reserve): Database {
    try {
      return Database.#open(path, reserve);
    } catch (error) {
      if (errorCode(error) !== 'ERR_LADING_DISK_FULL') throw error;
      reserve.release();
      return Database.#open(path, reserve);
    }
  }

  static #open(path: string, reserve: Reserve): Database {
    return guarded(path, 'open', () => {
      const sqlite = new DatabaseSync(path, { timeout: busyTimeoutMs });
      const database = new Database(path, sqlite, reserve);
      database.#refuseNewer();
      sqlite.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;');
      database.#migrate();
      return database;
    });
  }

  /** Opens for reading. Without a file there it is empty; nothing is created then. */
  static openReadOnly(path: string): Database {
    return guarded(path, 'open', () => {
      if (existsSync(path)) {
        const database = new Database(path, openForReading(path, { timeout: busyTimeoutMs }));
        database.#refuseNewer();
        if (database.#version() === migrations.length) return database;
        const copy = database.#version() > 0 ? new Database(path, openCopyOf(database.#sqlite)) : undefined;
        database.close();
        if (copy) {
          copy.#migrate();
          return copy;
        }
      }
      const empty = new Database(path, new DatabaseSync(':memory:'));
      empty.#migrate();
      return empty;
    });
  }

  /** What there is now, in memory: what is changed nobody else sees, and it ends with this object. */
  static openCopy(path: string, reserve: Reserve): Database {
    return guarded(path, 'open', () => {
      const source = Database.openReadOnly(path);
      try {
        const copy = openCopyOf(source.#sqlite);
        copy.exec('PRAGMA foreign_keys = ON');
        return new Database(path, copy, reserve);
      } finally {
        source.close();
      }
    });
  }

  /** What is open for reading may be a copy: afterwards it shows what others have written until now. */
  refresh(): void {
    if (this.#reserve) return;
    const current = Database.openReadOnly(this.#path);
    this.close();
    this.#sqlite = current.#sqlite;
    this.#statements.clear();
  }

  run(sql: string, ...values: SQLInputValue[]): { changes: number; id: number } {
    const { changes, lastInsertRowid } = this.#guarded(() => this.#statement(sql).run(...values));
    return { changes: Number(changes), id: Number(lastInsertRowid) };
  }

  get<T = Row>(sql: string, ...values: SQLInputValue[]): T | undefined {
    return this.#guarded(() => this.#statement(sql).get(...values)) as T | undefined;
  }

  all<T = Row>(sql: string, ...values: SQLInputValue[]): T[] {
    return this.#guarded(() => this.#statement(sql).all(...values)) as T[];
  }

  /**
   * Runs `decide` as the only writer; its rows are on stable storage when this returns, or none of them after an error.
   * Inside another transaction it is a part of that one.
   */
  transaction<T>(decide: () => T): T {
    if (this.#inTransaction) return decide();
    if (!this.#reserve) {
      throw new LadingError('ERR_LADING_STORE_READ_ONLY', `${this.#path} is open for reading only`);
    }
    this.#guarded(() => this.#sqlite.exec('BEGIN IMMEDIATE'));
    this.#inTransaction = true;
    try {
      const result = decide();
      this.#guarded(() => this.#sqlite.exec('COMMIT'));
      return result;
    } catch (error) {
      if (this.#sqlite.isTransaction) this.#sqlite.exec('ROLLBACK');
      throw error;
    } finally {
      this.#inTransaction = false;
    }
  }

  /** As `transaction`, for deleting: on a full disk it uses the room that was put aside for that. */
  removal<T>(decide: () => T): T {
    try {
      return this.transaction(decide);
    } catch (error) {
      if (this.#inTransaction || errorCode(error) !== 'ERR_LADING_DISK_FULL') throw error;
      this.#reserve!.release();
      return this.transaction(decide);
    }
  }

  /** As `transaction`, for rows that may be lost by a power cut (never by a kill): saves the wait for the disk. */
  unsyncedTransaction<T>(decide: () => T): T {
    return this.#unsynced(() => this.transaction(decide));
  }

  /** As `removal`, for deletions that may be lost likewise. */
  unsyncedRemoval<T>(decide: () => T): T {
    return this.#unsynced(() => this.removal(decide));
  }

  #unsynced<T>(work: () => T): T {
    if (this.#inTransaction) return work();
    this.#sqlite.exec('PRAGMA synchronous = NORMAL');
    try {
      return work();
    } finally {
      this.#sqlite.exec('PRAGMA synchronous = FULL');
    }
  }

  setting(key: string): string | undefined {
    return this.get<{ value: string }>('SELECT value FROM settings WHERE key = ?', key)?.value;
  }

  setSetting(key: string, value: string): void {
    this.run('INSERT INTO settings VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value', key, value);
  }

  /** What SQLite finds wrong with the file, one sentence each. */
  faults(): string[] {
    return this.#guarded(() => (existsSync(this.#path) ? faultsOf(this.#path, { timeout: busyTimeoutMs }) : []));
  }

  close(): void {
    if (this.#sqlite.isOpen) this.#sqlite.close();
  }

  #migrate(): void {
    for (let version = this.#version(); version < migrations.length; version += 1) {
      this.#sqlite.exec(`BEGIN IMMEDIATE; ${migrations[version]} PRAGMA user_version = ${version + 1}; COMMIT;`);
    }
  }

  #version(): number {
    return (this.#sqlite.prepare('PRAGMA user_version').get() as { user_version: number }).user_version;
  }

  #refuseNewer(): void {
    const version = this.#version();
    if (version <= migrations.length) return;
    this.close();
    throw new LadingError(
      'ERR_LADING_STORE_NEWER',
      `${this.#path} has schema version ${version}, this program knows up to ${migrations.length}`,
      { hint: 'A newer version of Lading has written it: use that version, or another folder with --root.' },
    );
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#sqlite.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /**
   * A document out of a row, as it was written.
   * @throws LadingError `ERR_LADING_STORE_DAMAGED`
   */
  document<T>(json: string): T {
    try {
      return JSON.parse(json) as T;
    } catch (error) {
      throw damaged(this.#path, 'a document in it is no JSON', error);
    }
  }

  #guarded<T>(work: () => T): T {
    return guarded(this.#path, 'use', work);
  }
}

/** SQLITE_CANTOPEN */
const cannotOpen = 14;

/** Result codes of SQLite that say the same as an error of the file system. @see https://sqlite.org/rescode.html */
const diskCodes: Readonly<Record<number, string>> = { 3: 'EACCES', 10: 'EIO', 13: 'ENOSPC' };

/** SQLITE_READONLY and SQLITE_CANTOPEN do not say why: what the folder answers to a wish to write is the reason. */
function reasonNotToWrite(path: string): string {
  const folder = dirname(path);
  try {
    accessSync(folder, constants.W_OK);
    return isFull(folder) ? 'ENOSPC' : 'EACCES';
  } catch (error) {
    return errorCode(error) ?? 'EACCES';
  }
}

/** @throws LadingError `ERR_LADING_ROOT_TOO_LONG` */
function refuseLongPath(path: string, cause: unknown): void {
  const bytes = Buffer.byteLength(join(realpathSync(dirname(path)), basename(path)));
  if (bytes <= maxPathBytes) return;
  throw new LadingError(
    'ERR_LADING_ROOT_TOO_LONG',
    `cannot open the database: its path has ${bytes} bytes, and SQLite takes no more than ${maxPathBytes}`,
    { cause, hint: 'Choose a folder with a shorter path with --root.', data: { path } },
  );
}

function reasonOf(errcode: number, path: string): string | undefined {
  const result = errcode & 0xff;
  if (result === 8 || result === cannotOpen) return reasonNotToWrite(path);
  return errcode === sharedMemoryNotGrown && isFull(dirname(path)) ? 'ENOSPC' : diskCodes[result];
}

function guarded<T>(path: string, verb: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'ERR_SQLITE_ERROR') throw error;
    const { errcode } = error as { errcode: number };
    const result = errcode & 0xff;
    if (result === cannotOpen) refuseLongPath(path, error);
    const code = reasonOf(errcode, path);
    if (code !== undefined)
      throw diskError(Object.assign(error as Error, { code }), `${verb} the database`, dirname(path));
    if (result === 5 || result === 6) {
      throw new LadingError(
        'ERR_LADING_STORE_BUSY',
        `${path} has been locked by another process for ${busyTimeoutMs} ms`,
        {
          cause: error,
          hint: 'Find the process that holds it (`fuser lading.db`), or try again.',
        },
      );
    }
    if (result === 11 || result === 26) throw damaged(path, errorMessage(error), error);
    throw error;
  }
}

function damaged(path: string, problem: string, cause: unknown): LadingError {
  return new LadingError('ERR_LADING_STORE_DAMAGED', `${path} is damaged: ${problem}`, {
    cause,
    hint: 'Move lading.db, lading.db-wal and lading.db-shm away: blobs and layers are kept and used again by the next pull.',
  });
}
