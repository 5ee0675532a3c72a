import type { DatabaseSync } from 'node:sqlite';
import type { RegistryDatabase, Row } from './database.ts';
import { readManifestFacts } from './manifest-facts.ts';

const first = `
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
`;

/**
 * For the collector. `used_ms`: when it was last pushed, pulled or asked for, a minute exact. `contents`: what a manifest
 * keeps alive, blobs and manifests alike. `uploads.digest`: the blob that an upload is about to become. `uploads.known`: 0
 * for one that its client knows nothing of, as when it sends a blob in one request.
 */
const collectable = `
  ALTER TABLE blobs ADD COLUMN used_ms INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE manifests ADD COLUMN used_ms INTEGER NOT NULL DEFAULT 0;
  CREATE TABLE contents (
    repository TEXT NOT NULL, manifest TEXT NOT NULL, digest TEXT NOT NULL,
    PRIMARY KEY (repository, manifest, digest),
    FOREIGN KEY (repository, manifest) REFERENCES manifests (repository, digest) ON DELETE CASCADE
  ) STRICT, WITHOUT ROWID;
  ALTER TABLE uploads ADD COLUMN client TEXT NOT NULL DEFAULT '';
  ALTER TABLE uploads ADD COLUMN digest TEXT;
  ALTER TABLE uploads ADD COLUMN known INTEGER NOT NULL DEFAULT 1;
  CREATE INDEX uploads_by_digest ON uploads (digest) WHERE digest IS NOT NULL;
  CREATE INDEX uploads_by_client ON uploads (client, touched_ms);
`;

/** Each makes the format one newer. Times are milliseconds since 1970. */
export const migrations: readonly ((database: RegistryDatabase, sqlite: DatabaseSync) => void)[] = [
  (_, sqlite) => sqlite.exec(first),
  (database, sqlite) => {
    sqlite.exec(collectable);
    const now = Date.now();
    database.run('UPDATE blobs SET used_ms = ?', now);
    database.run('UPDATE manifests SET used_ms = ?', now);
    for (const row of database.all('SELECT repository, digest, media_type, bytes FROM manifests'))
      fillContents(database, row);
  },
];

/** Fails rather than leaves a manifest without what it needs. */
function fillContents(database: RegistryDatabase, row: Row): void {
  const { keeps } = readManifestFacts(row.bytes as Uint8Array, row.media_type as string);
  for (const digest of keeps) {
    const sql = 'INSERT INTO contents VALUES (?, ?, ?)';
    database.run(sql, row.repository as string, row.digest as string, digest);
  }
}
