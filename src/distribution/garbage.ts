import { setImmediate as nextTurn } from 'node:timers/promises';
import { crashPoint } from '../lib/crash-point.ts';
import type { Digest } from '../oci/digest.ts';
import { Trash } from '../store/index.ts';
import { useResolutionMs } from './metadata.ts';
import { OwnStorage } from './own-storage.ts';
import { UploadSessions } from './upload-sessions.ts';

/** How long content stays that nothing refers to, unless another time is given: longer than a push takes. */
export const usualGraceMs = 60 * 60 * 1000;

export interface GarbageOptions {
  /** Finds what would go, and changes nothing. */
  readonly dryRun?: boolean | undefined;
  /**
   * What was pushed, pulled or asked for within this time stays, an hour unless given. With 0 nothing stays for that
   * reason: a push that has just been told that a blob is there may then fail.
   */
  readonly graceMs?: number | undefined;
}

export interface GarbageReport {
  /** Manifests without a tag that nothing refers to. */
  readonly manifests: readonly { readonly repository: string; readonly digest: Digest }[];
  /** Blobs that no repository has a use for any more. */
  readonly blobs: readonly Digest[];
  /** Uploads that nobody has gone on with for a week. */
  readonly uploads: number;
  /** Bytes of these manifests and blobs. */
  readonly freedBytes: number;
}

/**
 * Removes from a registry's folder what nothing needs. Kept are tags and what they mean; what was used within the grace
 * period; children of an index that is kept; referrers of what is kept; everything that a kept manifest mentions; and
 * the blobs of uploads that are under way. The registry may be serving meanwhile, in this process or another.
 * @throws LadingError as `startRegistry`, and `ERR_LADING_DISTRIBUTION_ROOT` if there is no registry in the folder
 */
export async function collectRegistryGarbage(root: string, options: GarbageOptions = {}): Promise<GarbageReport> {
  const storage = new OwnStorage(root, { create: false });
  const sessions = new UploadSessions(storage);
  try {
    return await collectGarbage(storage, sessions, options);
  } finally {
    await sessions.close();
    storage.close();
  }
}

/**
 * Rows go first, one repository at a time; files follow, each in a transaction that looks for rows and uploads once
 * more. A push either finds a row or file, which then stays, or does not find it and brings it again.
 */
export async function collectGarbage(
  storage: OwnStorage,
  sessions: UploadSessions,
  { dryRun = false, graceMs = usualGraceMs }: GarbageOptions,
): Promise<GarbageReport> {
  const now = Date.now();
  const keepSinceMs = graceMs === 0 ? Number.MAX_SAFE_INTEGER : now - graceMs - useResolutionMs;
  const sweep = new Sweep(storage, { dryRun, keepSinceMs });
  const uploads = await sessions.expire(now, { dryRun });
  for (const repository of sweep.repositories()) {
    sweep.rows(repository);
    await nextTurn();
  }
  crashPoint('registry-garbage-rows');
  await sweep.files();
  if (!dryRun) storage.metadata.database.shrink();
  return { ...sweep.report, uploads };
}

class Sweep {
  readonly report = { manifests: [] as { repository: string; digest: Digest }[], blobs: [] as Digest[], freedBytes: 0 };
  readonly #storage: OwnStorage;
  readonly #dryRun: boolean;
  readonly #keepSinceMs: number;
  /** How many repositories have lost the file; in a dry run they have it still. */
  readonly #losses = new Map<Digest, number>();
  readonly #trash: Trash;

  constructor(storage: OwnStorage, options: { dryRun: boolean; keepSinceMs: number }) {
    this.#storage = storage;
    this.#dryRun = options.dryRun;
    this.#keepSinceMs = options.keepSinceMs;
    this.#trash = new Trash(storage.blobs.root);
  }

  repositories(): string[] {
    return this.#storage.metadata.repositories({ last: '', limit: Number.MAX_SAFE_INTEGER });
  }

  rows(repository: string): void {
    const { metadata } = this.#storage;
    const { database, layout } = metadata;
    const sweep = () => {
      this.#mark(repository);
      const dead = 'WHERE repository = ? AND used_ms < ? AND digest NOT IN (SELECT digest FROM live)';
      const manifests = `SELECT digest, length(bytes) AS size FROM manifests ${dead}`;
      const lose = (digest: Digest) => this.#losses.set(digest, (this.#losses.get(digest) ?? 0) + 1);
      const gone: Digest[] = [];
      for (const row of database.all(manifests, repository, this.#keepSinceMs)) {
        const digest = row.digest as Digest;
        gone.push(digest);
        if (layout) lose(digest);
        this.report.manifests.push({ repository, digest });
        this.report.freedBytes += row.size as number;
      }
      for (const row of database.all(`SELECT digest FROM blobs ${dead}`, repository, this.#keepSinceMs)) {
        lose(row.digest as Digest);
      }
      if (this.#dryRun) return;
      database.run(`DELETE FROM manifests ${dead}`, repository, this.#keepSinceMs);
      if (gone.length > 0) layout?.removeManifests(repository, gone);
      database.run(`DELETE FROM blobs ${dead}`, repository, this.#keepSinceMs);
      database.run(
        `DELETE FROM repositories WHERE name = ?1
          AND NOT EXISTS (SELECT 1 FROM manifests WHERE repository = ?1)
          AND NOT EXISTS (SELECT 1 FROM blobs WHERE repository = ?1)`,
        repository,
      );
    };
    if (this.#dryRun) database.snapshot(sweep);
    else database.exclusively(sweep);
  }

  async files(): Promise<void> {
    const { blobs, metadata } = this.#storage;
    const manifests = new Set(this.report.manifests.map(({ digest }) => digest));
    // A layout may list what the registry has no row for, since it does not know what that is.
    const listed = new Set(metadata.layout?.entries().map(({ entry }) => entry.digest));
    for await (const { digest, size } of blobs.list()) {
      if (this.#isNeeded(digest) || (listed.has(digest) && !manifests.has(digest))) continue;
      if (!this.#dryRun && !metadata.database.exclusively(() => this.#takeFile(digest))) continue;
      if (!manifests.has(digest)) this.report.blobs.push(digest);
      this.report.freedBytes += size;
    }
    crashPoint('registry-garbage-files');
    if (!this.#dryRun) await this.#trash.empty();
  }

  /** Fills the table `live` with all that tags and recent use reach. */
  #mark(repository: string): void {
    const { database } = this.#storage.metadata;
    database.run('DELETE FROM live');
    database.run(
      `INSERT INTO live WITH RECURSIVE reached (digest) AS (
        SELECT digest FROM tags WHERE repository = ?1
        UNION SELECT digest FROM manifests WHERE repository = ?1 AND used_ms >= ?2
        UNION SELECT contents.digest FROM reached JOIN contents ON repository = ?1 AND manifest = reached.digest
        UNION SELECT referrers.digest FROM reached JOIN referrers ON repository = ?1 AND subject = reached.digest
      ) SELECT digest FROM reached`,
      ...[repository, this.#keepSinceMs],
    );
  }

  /** @returns whether it has gone */
  #takeFile(digest: Digest): boolean {
    if (this.#isNeeded(digest)) return false;
    crashPoint('registry-garbage-file');
    return this.#trash.take(this.#storage.blobs.path(digest)) !== undefined;
  }

  /** Whether a repository has the file, or an upload is about to become it. */
  #isNeeded(digest: Digest): boolean {
    const { database, layout } = this.#storage.metadata;
    const count = (table: string) =>
      database.get(`SELECT count(*) AS holders FROM ${table} WHERE digest = ?`, digest)!.holders as number;
    // In a layout manifests are files too.
    const holders = count('blobs') + (layout ? count('manifests') : 0);
    const losers = this.#dryRun ? (this.#losses.get(digest) ?? 0) : 0;
    return holders > losers || database.get('SELECT 1 FROM uploads WHERE digest = ?', digest) !== undefined;
  }
}
