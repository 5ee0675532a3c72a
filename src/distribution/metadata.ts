import { debugLog } from '../lib/debug.ts';
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import { RegistryDatabase, type Row } from './database.ts';
import { LayoutIndex } from './layout-index.ts';
import type { Referrer } from './manifest-facts.ts';
import type { Page, ReferrerEntry, ReferrerFilter, StoredManifest } from './storage.ts';

const debug = debugLog('distribution');

export interface NewManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  readonly bytes: Uint8Array;
  /** What lives as long as the manifest. */
  readonly keeps: readonly Digest[];
  readonly referrer?: Referrer | undefined;
}

export interface NewUpload {
  readonly repository: string;
  readonly algorithm: DigestAlgorithm;
  /** Who began it. */
  readonly client: string;
  /** Whether the client is told of it, so that it can go on with it. */
  readonly known: boolean;
}

export interface UploadKey {
  readonly id: string;
  readonly repository: string;
}

/**
 * How exact the time of the last use is. What is asked for all the time would otherwise be written all the time; the
 * collector adds it to its grace period.
 */
export const useResolutionMs = 60_000;

/**
 * Which repository has which blobs, manifests and tags. What a client is told of a push or a deletion is on stable
 * storage when the method returns. The bytes of manifests are here too, so that a manifest, its tags and its entry in
 * the referrers list appear together; the bytes of blobs are not, and a row for one is written only when they are safe.
 * A collector may remove rows at any time, in this process or another: what a method says is there has its time of use
 * renewed, so that it stays for the grace period.
 */
export class Metadata {
  readonly database: RegistryDatabase;
  /** The list of images of a folder that is an OCI layout too; it changes with the rows. */
  readonly layout: LayoutIndex | undefined;
  readonly #now: () => number;

  /** @throws LadingError as `RegistryDatabase` */
  constructor(root: string, options: { create?: boolean; now?: () => number } = {}) {
    this.database = new RegistryDatabase(root, options);
    this.layout = LayoutIndex.isIn(root) ? new LayoutIndex(root) : undefined;
    this.#now = options.now ?? Date.now;
  }

  close(): void {
    this.database.close();
  }

  hasRepository(name: string): boolean {
    return this.database.get('SELECT 1 FROM repositories WHERE name = ?', name) !== undefined;
  }

  repositories({ last, limit }: Page): string[] {
    const sql = 'SELECT name FROM repositories WHERE name > ? ORDER BY name LIMIT ?';
    return this.database.all(sql, last, limit).map((row) => row.name as string);
  }

  /** Bytes of a blob that this repository has. */
  blobSize(repository: string, digest: Digest): number | undefined {
    const row = this.database.get(
      'SELECT size, used_ms FROM blobs WHERE repository = ? AND digest = ?',
      repository,
      digest,
    );
    return row && this.#use('blobs', repository, digest, row) ? (row.size as number) : undefined;
  }

  /**
   * Gives a blob of another repository to this one.
   * @param from undefined for any repository
   * @param isStored whether the file is there; asked while no collector can remove it
   */
  mountBlob(
    blob: { repository: string; digest: Digest; from: string | undefined },
    isStored: (size: number) => boolean,
  ): boolean {
    const { repository, digest, from } = blob;
    const sql = 'SELECT size FROM blobs WHERE digest = ? AND (? IS NULL OR repository = ?) LIMIT 1';
    return this.database.durably(() => {
      const size = this.database.get(sql, digest, from ?? null, from ?? null)?.size as number | undefined;
      if (size === undefined || !isStored(size)) return false;
      this.#link(repository, digest, size);
      return true;
    });
  }

  /** @returns whether the repository had it */
  unlinkBlob(repository: string, digest: Digest): boolean {
    const sql = 'DELETE FROM blobs WHERE repository = ? AND digest = ?';
    return this.database.durably(() => this.database.run(sql, repository, digest) > 0);
  }

  addUpload(id: string, { repository, algorithm, client, known }: NewUpload): void {
    const sql = 'INSERT INTO uploads (id, repository, algorithm, client, known, touched_ms) VALUES (?, ?, ?, ?, ?, ?)';
    this.database.run(sql, id, repository, algorithm, client, Number(known), this.#now());
  }

  /**
   * Call when no request is running: no upload is about to become a blob then.
   * @returns the uploads that nobody knows of
   */
  interruptedUploads(): UploadKey[] {
    this.database.run('UPDATE uploads SET digest = NULL WHERE digest IS NOT NULL');
    return this.database.all('SELECT id, repository FROM uploads WHERE known = 0').map(uploadKey);
  }

  /** Uploads that a client has begun or gone on with since then. */
  uploadsOf(client: string, sinceMs: number): number {
    const sql = 'SELECT count(*) AS uploads FROM uploads WHERE client = ? AND touched_ms >= ?';
    return this.database.get(sql, client, sinceMs)!.uploads as number;
  }

  openUploads(): number {
    return this.database.get('SELECT count(*) AS uploads FROM uploads')!.uploads as number;
  }

  /** What the bytes of an upload to this repository are hashed with; undefined if there is no such upload. */
  uploadAlgorithm(repository: string, id: string): DigestAlgorithm | undefined {
    const row = this.database.get('SELECT algorithm FROM uploads WHERE id = ? AND repository = ?', id, repository);
    return row?.algorithm as DigestAlgorithm | undefined;
  }

  touchUpload(id: string): void {
    this.database.run('UPDATE uploads SET touched_ms = ? WHERE id = ?', this.#now(), id);
  }

  uploadsUntouchedSince(atMs: number): UploadKey[] {
    return this.database.all('SELECT id, repository FROM uploads WHERE touched_ms < ?', atMs).map(uploadKey);
  }

  removeUpload(id: string): void {
    this.database.run('DELETE FROM uploads WHERE id = ?', id);
  }

  /** Says which blob an upload becomes. From now on no collector removes that file; call it before the file is made. */
  claimBlob(id: string, digest: Digest): void {
    this.database.run('UPDATE uploads SET digest = ?, touched_ms = ? WHERE id = ?', digest, this.#now(), id);
  }

  /** Ends an upload with a blob in its repository. */
  finishUpload(id: string, blob: { repository: string; digest: Digest; size: number }): void {
    this.database.durably(() => {
      this.removeUpload(id);
      this.#link(blob.repository, blob.digest, blob.size);
    });
  }

  manifestByTag(repository: string, tag: string): StoredManifest | undefined {
    const sql = `SELECT digest, media_type, length(bytes) AS size, used_ms FROM tags JOIN manifests USING (repository, digest)
      WHERE repository = ? AND tag = ?`;
    return this.#usedManifest(repository, this.database.get(sql, repository, tag));
  }

  manifestByDigest(repository: string, digest: Digest): StoredManifest | undefined {
    const sql = `SELECT digest, media_type, length(bytes) AS size, used_ms FROM manifests
      WHERE repository = ? AND digest = ?`;
    return this.#usedManifest(repository, this.database.get(sql, repository, digest));
  }

  /** @throws if the repository does not have it */
  manifestBytes(repository: string, digest: Digest): Uint8Array {
    const sql = 'SELECT bytes FROM manifests WHERE repository = ? AND digest = ?';
    return this.database.get(sql, repository, digest)!.bytes as Uint8Array;
  }

  /**
   * Stores a manifest and moves the tags to it, all or nothing.
   * @param check throws to refuse; sees the repository as it will be kept
   */
  putManifest(
    repository: string,
    manifest: NewManifest,
    { tags, check }: { tags: readonly string[]; check: () => void },
  ): void {
    this.database.durably(() => {
      check();
      this.#addManifest(repository, manifest);
      for (const tag of tags) this.#setTag(repository, tag, manifest.digest);
      this.layout?.put(repository, manifest, tags);
    });
  }

  /** Takes a manifest that is in the folder already, with those blobs that are. */
  adoptManifest(
    repository: string,
    manifest: NewManifest,
    blobs: readonly { readonly digest: Digest; readonly size: number }[],
  ): void {
    this.database.exclusively(() => {
      for (const { digest, size } of blobs) this.#link(repository, digest, size);
      this.#addManifest(repository, manifest);
    });
  }

  /** All tags of all repositories are these from now on. */
  replaceTags(wanted: ReadonlyMap<string, ReadonlyMap<string, Digest>>): void {
    this.database.exclusively(() => {
      this.database.run('DELETE FROM tags');
      for (const [repository, tags] of wanted) {
        for (const [tag, digest] of tags) this.#setTag(repository, tag, digest);
      }
    });
  }

  /** Removes a manifest with its tags and its entry in the referrers list. @returns whether the repository had it */
  removeManifest(repository: string, digest: Digest): boolean {
    const sql = 'DELETE FROM manifests WHERE repository = ? AND digest = ?';
    return this.database.durably(() => {
      const isGone = this.database.run(sql, repository, digest) > 0;
      if (isGone) this.layout?.removeManifests(repository, [digest]);
      return isGone;
    });
  }

  /** @returns whether the repository had it */
  removeTag(repository: string, tag: string): boolean {
    const sql = 'DELETE FROM tags WHERE repository = ? AND tag = ?';
    return this.database.durably(() => {
      const isGone = this.database.run(sql, repository, tag) > 0;
      if (isGone) this.layout?.removeTag(repository, tag);
      return isGone;
    });
  }

  tags(repository: string, { last, limit }: Page): string[] {
    const sql = 'SELECT tag FROM tags WHERE repository = ? AND tag > ? ORDER BY tag LIMIT ?';
    return this.database.all(sql, repository, last, limit).map((row) => row.tag as string);
  }

  *referrers(repository: string, subject: Digest, filter: ReferrerFilter): Generator<ReferrerEntry> {
    const { last, artifactType = null } = filter;
    const rows = this.database.iterate(
      `SELECT digest, descriptor FROM referrers WHERE repository = ? AND subject = ? AND digest > ?
        AND (? IS NULL OR artifact_type = ?) ORDER BY digest`,
      ...[repository, subject, last, artifactType, artifactType],
    );
    for (const row of rows) yield { digest: row.digest as string, descriptor: row.descriptor as string };
  }

  #addManifest(repository: string, { digest, mediaType, bytes, keeps, referrer }: NewManifest): void {
    const { database } = this;
    database.run('INSERT OR IGNORE INTO repositories VALUES (?)', repository);
    database.run(
      `INSERT INTO manifests (repository, digest, media_type, bytes, used_ms) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (repository, digest) DO UPDATE SET media_type = excluded.media_type, used_ms = excluded.used_ms`,
      ...[repository, digest, mediaType, bytes, this.#now()],
    );
    for (const content of keeps) {
      database.run('INSERT OR IGNORE INTO contents VALUES (?, ?, ?)', repository, digest, content);
    }
    if (!referrer) return;
    const { subject, artifactType = null, descriptor } = referrer;
    database.run(
      `INSERT INTO referrers VALUES (?, ?, ?, ?, ?) ON CONFLICT (repository, subject, digest)
        DO UPDATE SET artifact_type = excluded.artifact_type, descriptor = excluded.descriptor`,
      ...[repository, subject, digest, artifactType, descriptor],
    );
  }

  #setTag(repository: string, tag: string, digest: Digest): void {
    const sql =
      'INSERT INTO tags VALUES (?, ?, ?) ON CONFLICT (repository, tag) DO UPDATE SET digest = excluded.digest';
    this.database.run(sql, repository, tag, digest);
  }

  #link(repository: string, digest: Digest, size: number): void {
    this.database.run('INSERT OR IGNORE INTO repositories VALUES (?)', repository);
    const sql = 'INSERT OR REPLACE INTO blobs (repository, digest, size, used_ms) VALUES (?, ?, ?, ?)';
    this.database.run(sql, repository, digest, size, this.#now());
  }

  #usedManifest(repository: string, row: Row | undefined): StoredManifest | undefined {
    if (!row || !this.#use('manifests', repository, row.digest as Digest, row)) return undefined;
    return { digest: row.digest as Digest, mediaType: row.media_type as string, size: row.size as number };
  }

  /** @returns false if a collector has just removed it */
  #use(table: 'blobs' | 'manifests', repository: string, digest: Digest, row: Row): boolean {
    const now = this.#now();
    if (Math.abs(now - (row.used_ms as number)) < useResolutionMs) return true;
    try {
      const sql = `UPDATE ${table} SET used_ms = ? WHERE repository = ? AND digest = ?`;
      return this.database.run(sql, now, repository, digest) > 0;
    } catch (error) {
      // A full disk must not keep anybody from reading.
      debug('the use of %s is not recorded: %s', digest, error);
      return true;
    }
  }
}

function uploadKey(row: Row): UploadKey {
  return { id: row.id as string, repository: row.repository as string };
}
