import path from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Makes content of a registry as if it had last been used that much earlier; everything unless digests are given. */
export function age(root: string, ms: number, digests?: readonly string[]): void {
  const database = new DatabaseSync(path.join(root, 'registry.db'), { timeout: 10_000 });
  for (const table of ['blobs', 'manifests']) {
    if (!digests) database.prepare(`UPDATE ${table} SET used_ms = used_ms - ?`).run(ms);
    for (const digest of digests ?? []) {
      database.prepare(`UPDATE ${table} SET used_ms = used_ms - ? WHERE digest = ?`).run(ms, digest);
    }
  }
  database.close();
}
