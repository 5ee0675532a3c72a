import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { errorMessage, LadingError } from '../lib/errors.ts';
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';

export interface StoredManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

export interface NewManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  readonly referrer?: Referrer;
}

/** What the referrers list shows of a manifest that has a subject. */
export interface Referrer {
  readonly subject: Digest;
  readonly artifactType?: string | undefined;
  /** The entry of the list, as JSON. */
  readonly descriptor: string;
}

const sqliteBusy = 5;
const sqliteFull = 13;
const schemaVersion = 1;
const schema = `
  CREATE TABLE repositories (name TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;
  CREATE TABLE blobs (
    repository TEXT NOT NULL, digest TEXT NOT NULL, size INTEGER NOT NULL,
    PRIMARY KEY (repository, digest)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX blobs_by_digest ON blobs (digest);
  CREATE TABLE manifests (
    repository TEXT NOT NULL, digest TEXT NOT NULL, media_type TEXT NOT NULL, bytes BLOB NOT NULL,
    PRIMARY KEY (repository, digest)
  ) STRICT;
  CREATE TABLE tags (
    repository TEXT NOT NULL, tag TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (repository, tag),
    FOREIGN KEY (repository, digest) REFERENCES manifests ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX tags_by_manifest ON tags (repository, digest);
  CREATE TABLE referrers (
    repository TEXT NOT NULL, subject TEXT NOT NULL, digest TEXT NOT NULL, artifact_type TEXT, descriptor TEXT NOT NULL,
    PRIMARY KEY (repository, subject, digest),
    FOREIGN KEY (repository, digest) REFERENCES manifests ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX referrers_by_manifest ON referrers (repository, digest);
  CREATE TABLE uploads (id TEXT PRIMARY KEY, repository TEXT NOT NULL, algorithm TEXT NOT NULL, touched_ms INTEGER NOT NULL)
    STRICT, WITHOUT ROWID;
  PRAGMA user_version = ${schemaVersion};
`;

/**
 * Which repository has which blobs, manifests and tags, in `<root>/registry.db`. Every change is on stable storage when
 * its method returns. The bytes of manifests are here too, so that a manifest, its tags and its entry in the referrers
 * list appear together; the bytes of blobs are not, and a row for one is written only when they are safe.
 */
export class Metadata {
  readonly #database: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();

  /**
   * Opens the database and keeps it for this process alone.
   * @throws LadingError `ERR_LADING_DISTRIBUTION_IN_USE`, `ERR_LADING_DISTRIBUTION_TOO_NEW`, `ERR_LADING_DISTRIBUTION_ROOT`
   */
  constructor(root: string) {
    this.#database = openDatabase(root);
    try {
      this.#database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;');
      this.#transaction(() => this.#prepareSchema(root));
    } catch (error) {
      this.#database.close();
      if (error instanceof LadingError) throw error;
      throw resultCode(error) === sqliteBusy ? inUse(root, error) : unusable(root, error);
    }
  }

  close(): void {
    this.#database.close();
  }

  hasRepository(name: string): boolean {
    return this.#get('SELECT 1 FROM repositories WHERE name = ?', name) !== undefined;
  }

  /** Bytes of a blob that this repository has. */
  blobSize(repository: string, digest: Digest): number | undefined {
    const row = this.#get('SELECT size FROM blobs WHERE repository = ? AND digest = ?', repository, digest);
    return row?.size as number | undefined;
  }

  /** Bytes of a blob that some repository has. */
  blobSizeAnywhere(digest: Digest): number | undefined {
    return this.#get('SELECT size FROM blobs WHERE digest = ? LIMIT 1', digest)?.size as number | undefined;
  }

  linkBlob(repository: string, digest: Digest, size: number): void {
    this.#transaction(() => this.#link(repository, digest, size));
  }

  /** @returns whether the repository had it */
  unlinkBlob(repository: string, digest: Digest): boolean {
    return this.#run('DELETE FROM blobs WHERE repository = ? AND digest = ?', repository, digest) > 0;
  }

  addUpload(id: string, upload: { repository: string; algorithm: DigestAlgorithm; atMs: number }): void {
    const { repository, algorithm, atMs } = upload;
    this.#run('INSERT INTO uploads VALUES (?, ?, ?, ?)', id, repository, algorithm, atMs);
  }

  /** What the bytes of an upload to this repository are hashed with; undefined if there is no such upload. */
  uploadAlgorithm(repository: string, id: string): DigestAlgorithm | undefined {
    const row = this.#get('SELECT algorithm FROM uploads WHERE id = ? AND repository = ?', id, repository);
    return row?.algorithm as DigestAlgorithm | undefined;
  }

  touchUpload(id: string, atMs: number): void {
    this.#run('UPDATE uploads SET touched_ms = ? WHERE id = ?', atMs, id);
  }

  uploadsUntouchedSince(atMs: number): { id: string; repository: string }[] {
    const rows = this.#all('SELECT id, repository FROM uploads WHERE touched_ms < ?', atMs);
    return rows.map((row) => ({ id: row.id as string, repository: row.repository as string }));
  }

  removeUpload(id: string): void {
    this.#run('DELETE FROM uploads WHERE id = ?', id);
  }

  /** Ends an upload with a blob in its repository. */
  finishUpload(id: string, blob: { repository: string; digest: Digest; size: number }): void {
    this.#transaction(() => {
      this.#run('DELETE FROM uploads WHERE id = ?', id);
      this.#link(blob.repository, blob.digest, blob.size);
    });
  }

  manifestByTag(repository: string, tag: string): StoredManifest | undefined {
    return storedManifest(
      this.#get(
        `SELECT digest, media_type, length(bytes) AS size FROM tags JOIN manifests USING (repository, digest)
          WHERE repository = ? AND tag = ?`,
        repository,
        tag,
      ),
    );
  }

  manifestByDigest(repository: string, digest: Digest): StoredManifest | undefined {
    return storedManifest(
      this.#get(
        'SELECT digest, media_type, length(bytes) AS size FROM manifests WHERE repository = ? AND digest = ?',
        repository,
        digest,
      ),
    );
  }

  /** @throws if the repository does not have it */
  manifestBytes(repository: string, digest: Digest): Uint8Array {
    const row = this.#get('SELECT bytes FROM manifests WHERE repository = ? AND digest = ?', repository, digest);
    return row!.bytes as Uint8Array;
  }

  /** Stores a manifest and moves the tags to it, all or nothing. */
  putManifest(repository: string, manifest: NewManifest, tags: readonly string[]): void {
    const { digest, mediaType, bytes, referrer } = manifest;
    this.#transaction(() => {
      this.#run('INSERT OR IGNORE INTO repositories VALUES (?)', repository);
      this.#run(
        `INSERT INTO manifests VALUES (?, ?, ?, ?)
          ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type`,
        repository,
        digest,
        mediaType,
        bytes,
      );
      for (const tag of tags) {
        this.#run(
          'INSERT INTO tags VALUES (?, ?, ?) ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest',
          repository,
          tag,
          digest,
        );
      }
      if (!referrer) return;
      const { subject, artifactType = null, descriptor } = referrer;
      this.#run(
        `INSERT INTO referrers VALUES (?, ?, ?, ?, ?) ON CONFLICT (repository, subject, digest)
          DO UPDATE SET artifact_type = excluded.artifact_type, descriptor = excluded.descriptor`,
        repository,
        subject,
        digest,
        artifactType,
        descriptor,
      );
    });
  }

  /** Removes a manifest with its tags and its entry in the referrers list. @returns whether the repository had it */
  removeManifest(repository: string, digest: Digest): boolean {
    return this.#run('DELETE FROM manifests WHERE repository = ? AND digest = ?', repository, digest) > 0;
  }

  /** @returns whether the repository had it */
  removeTag(repository: string, tag: string): boolean {
    return this.#run('DELETE FROM tags WHERE repository = ? AND tag = ?', repository, tag) > 0;
  }

  /** Tags after `last`, bytewise ascending. */
  tags(repository: string, { last, limit }: { last: string; limit: number }): string[] {
    const sql = 'SELECT tag FROM tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?';
    return this.#all(sql, repository, last, limit).map((row) => row.tag as string);
  }

  /** Referrers after the digest `last`, ascending; with an artifact type only those of that type. */
  *referrers(
    repository: string,
    subject: Digest,
    { last, artifactType }: { last: string; artifactType: string | undefined },
  ): Generator<{ digest: string; descriptor: string }> {
    const rows = this.#statement(
      `SELECT digest, descriptor FROM referrers WHERE repository = ? AND subject = ? AND digest > ?
        AND (? IS NULL OR artifact_type = ?) ORDER BY digest`,
    ).iterate(repository, subject, last, artifactType ?? null, artifactType ?? null);
    for (const row of rows) yield { digest: row.digest as string, descriptor: row.descriptor as string };
  }

  #prepareSchema(root: string): void {
    const found = this.#get('PRAGMA user_version')?.user_version as number;
    if (found > schemaVersion) throw tooNew(root, found);
    if (found === 0) this.#database.exec(schema);
  }

  #link(repository: string, digest: Digest, size: number): void {
    this.#run('INSERT OR IGNORE INTO repositories VALUES (?)', repository);
    this.#run('INSERT OR REPLACE INTO blobs VALUES (?, ?, ?)', repository, digest, size);
  }

  #transaction(work: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE');
    try {
      work();
      this.#database.exec('COMMIT');
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK');
      throw error;
    }
  }

  #get(sql: string, ...values: SqlValue[]): Row | undefined {
    return this.#statement(sql).get(...values);
  }

  #all(sql: string, ...values: SqlValue[]): Row[] {
    return this.#statement(sql).all(...values);
  }

  /** @returns the number of rows that changed */
  #run(sql: string, ...values: SqlValue[]): number {
    return Number(this.#statement(sql).run(...values).changes);
  }

  #statement(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (!statement) {
      statement = this.#database.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }
}

type SqlValue = string | number | null | Uint8Array;
type Row = Readonly<Record<string, unknown>>;

function storedManifest(row: Row | undefined): StoredManifest | undefined {
  if (!row) return undefined;
  return { digest: row.digest as Digest, mediaType: row.media_type as string, size: row.size as number };
}

/** Whether a change failed because the disk is full. */
export function isDatabaseFull(error: unknown): boolean {
  return resultCode(error) === sqliteFull;
}

/** @see https://www.sqlite.org/rescode.html */
function resultCode(error: unknown): unknown {
  return error instanceof Error && 'errcode' in error ? error.errcode : undefined;
}

function openDatabase(root: string): DatabaseSync {
  try {
    mkdirSync(root, { recursive: true });
    return new DatabaseSync(join(root, 'registry.db'));
  } catch (error) {
    throw unusable(root, error);
  }
}

function unusable(root: string, cause: unknown): LadingError {
  return new LadingError('ERR_LADING_DISTRIBUTION_ROOT', `the registry cannot use ${root}: ${errorMessage(cause)}`, {
    hint: 'Choose a folder that this user may write to.',
    cause,
    data: { root },
  });
}

function inUse(root: string, cause: unknown): LadingError {
  return new LadingError('ERR_LADING_DISTRIBUTION_IN_USE', `another registry is already serving ${root}`, {
    hint: 'Stop it, or give this one a folder of its own.',
    cause,
    data: { root },
  });
}

function tooNew(root: string, found: number): LadingError {
  const message = `the registry in ${root} was written by a newer Lading (format ${found}, this one knows ${schemaVersion})`;
  return new LadingError('ERR_LADING_DISTRIBUTION_TOO_NEW', message, {
    hint: 'Use that newer version, or another folder.',
    data: { root, found, known: schemaVersion },
  });
}
