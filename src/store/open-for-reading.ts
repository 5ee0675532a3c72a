import { copyFileSync, existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

/**
 * Opens a database in WAL mode so that nothing beside it changes. SQLite makes two files there even for readers, and
 * cannot remove them again. Where they exist a process has the database open, or was killed, and they are used;
 * otherwise nobody writes, and a copy is read.
 */
export function openForReading(path: string, options: { timeout: number }): DatabaseSync {
  return openCopy(path) ?? openShared(path, options);
}

/** What a database holds now, open for writing: nobody else sees it. */
export function openCopyOf(database: DatabaseSync): DatabaseSync {
  const folder = mkdtempSync(join(tmpdir(), 'lading-'));
  try {
    const copy = join(folder, 'copy.db');
    database.prepare('VACUUM INTO ?').run(copy);
    const sqlite = new DatabaseSync(copy);
    sqlite.exec('PRAGMA journal_mode = MEMORY');
    return sqlite;
  } finally {
    // What is open can still be used.
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Undefined if somebody writes, or there is no room for a copy. */
function openCopy(path: string): DatabaseSync | undefined {
  const before = quietState(path);
  if (before === undefined) return undefined;
  let folder: string | undefined;
  try {
    folder = mkdtempSync(join(tmpdir(), 'lading-'));
    const copy = join(folder, 'copy.db');
    copyFileSync(path, copy);
    return quietState(path) === before ? openImmutable(copy) : undefined;
  } catch {
    return undefined;
  } finally {
    // What is open can still be read.
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  }
}

/** The same text as long as nobody has written; undefined while somebody might. */
function quietState(path: string): string | undefined {
  if (existsSync(`${path}-wal`)) return undefined;
  const { ino, size, mtimeNs } = statSync(path, { bigint: true });
  return [ino, size, mtimeNs].join(' ');
}

function openShared(path: string, { timeout }: { timeout: number }): DatabaseSync {
  try {
    const sqlite = new DatabaseSync(path, { readOnly: true, timeout });
    sqlite.prepare('PRAGMA schema_version').get();
    return sqlite;
  } catch (error) {
    const { errcode = 0 } = error as { errcode?: number };
    if (!cannotMakeWal.has(errcode & 0xff) && errcode !== sharedMemoryNotGrown) throw error;
    return openImmutable(path);
  }
}

/** SQLITE_READONLY, SQLITE_CANTOPEN: the files beside a database in WAL mode cannot be made on a read-only disk. */
const cannotMakeWal = new Set([8, 14]);

/** SQLITE_IOERR_SHMSIZE: on a full disk, and only if nobody has the database open. */
export const sharedMemoryNotGrown = 4874;

function openImmutable(path: string): DatabaseSync {
  const url = pathToFileURL(path);
  url.search = 'immutable=1';
  const sqlite = new DatabaseSync(url, { readOnly: true });
  sqlite.prepare('PRAGMA schema_version').get();
  return sqlite;
}
