/**
 * The tables of `lading.db`. Times are milliseconds since 1970, documents are JSON. Files are the truth about content:
 * there is no row for a blob, only for what refers to it.
 *
 * `names` holds every meaning that a name has had; `until_ms` is NULL for the one that it has now.
 * `released` lists blobs that lost their last image: the collector does not wait for them to grow old.
 * `starts` holds which containers ran what a name meant. An event that happens again gets a new `id`, so that who
 * follows the events finds it behind the last one.
 */
export const migrations: readonly string[] = [
  `
  CREATE TABLE names (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    target TEXT NOT NULL,
    image_id TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    until_ms INTEGER
  ) STRICT;
  CREATE UNIQUE INDEX current_names ON names (name) WHERE until_ms IS NULL;
  CREATE INDEX names_by_name ON names (name);

  CREATE TABLE images (
    id TEXT PRIMARY KEY,
    record TEXT NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE layers (
    diff_id TEXT PRIMARY KEY,
    bytes INTEGER NOT NULL,
    inodes INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE fix_ups (
    chain_id TEXT PRIMARY KEY,
    needed INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE leases (
    id INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    created_uptime_ms INTEGER NOT NULL,
    expires_after_ms INTEGER
  ) STRICT;

  CREATE TABLE lease_items (
    lease_id INTEGER NOT NULL REFERENCES leases (id) ON DELETE CASCADE,
    kind TEXT NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (lease_id, kind, key)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE released (digest TEXT PRIMARY KEY) STRICT, WITHOUT ROWID;

  CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
  `,
  `
  ALTER TABLE names ADD COLUMN pulled_by TEXT;

  CREATE TABLE starts (
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    namespace TEXT NOT NULL,
    pod TEXT NOT NULL,
    container TEXT NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    count INTEGER NOT NULL,
    PRIMARY KEY (name, digest, namespace, pod, container)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    same_as TEXT NOT NULL,
    similar_to TEXT NOT NULL,
    event TEXT NOT NULL,
    count INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL
  ) STRICT;
  CREATE UNIQUE INDEX same_events ON events (same_as);
  CREATE INDEX similar_events ON events (similar_to);
  CREATE INDEX events_by_time ON events (last_ms);
  `,
  `
  CREATE TABLE image_uses (
    image_id TEXT PRIMARY KEY REFERENCES images (id) ON DELETE CASCADE,
    last_ms INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  `,
];
