import { randomUUID } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';

/**
 * Opens a database in WAL mode so that nothing beside it changes. SQLite makes two files there even for readers, and
 * cannot remove them again. Where they exist a process has the database open, or was killed, and they are used;
 * otherwise nobody writes, and a copy in memory is read.
 */
export function openForReading(path: string, options: { timeout: number }): DatabaseSync {
  return openCopy(path) ?? openShared(path, options);
}

/** What a database holds now, open for writing: in memory, so that a kill leaves nothing. */
export function openCopyOf(database: DatabaseSync): DatabaseSync {
  const name = `file:/lading-${randomUUID()}?vfs=memdb`;
  const copy = new DatabaseSync(name);
  try {
    // VACUUM counts as writing.
    database.exec('PRAGMA query_only = OFF');
    database.prepare('VACUUM INTO ?').run(name);
    return copy;
  } catch (error) {
    copy.close();
    throw error;
  }
}

/**
 * What SQLite finds wrong with the file itself, one sentence each: a copy of a damaged one may be sound.
 */
export function faultsOf(path: string, options: { timeout: number }): string[] {
  const before = quietState(path);
  const found = before === undefined ? undefined : faultsIn(openImmutable(path));
  // What somebody writes meanwhile looks damaged.
  const isTrue = found !== undefined && (found.length === 0 || quietState(path) === before);
  return isTrue ? found : faultsIn(openShared(path, options));
}

function faultsIn(sqlite: DatabaseSync): string[] {
  try {
    const rows = sqlite.prepare('PRAGMA quick_check').all() as { quick_check: string }[];
    return rows.map((row) => row.quick_check).filter((line) => line !== 'ok');
  } finally {
    sqlite.close();
  }
}

/** Undefined if somebody writes. */
function openCopy(path: string): DatabaseSync | undefined {
  const before = quietState(path);
  if (before === undefined) return undefined;
  let source: DatabaseSync | undefined;
  let copy: DatabaseSync | undefined;
  try {
    source = openImmutable(path);
    copy = openCopyOf(source);
    copy.exec('PRAGMA query_only = ON');
  } catch {
    // Damaged, or somebody writes.
  }
  const isStill = quietState(path) === before;
  if (copy || !isStill) source?.close();
  if (!isStill) copy?.close();
  return isStill ? (copy ?? source) : undefined;
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
