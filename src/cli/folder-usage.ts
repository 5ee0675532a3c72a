import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../lib/errors.ts';

export interface FolderUsage {
  /** Direct children. */
  readonly count: number;
  /** Bytes of all files below, as their owners count them, not disk blocks. */
  readonly bytes: number;
  /** Folders that this user may not read; their content is not counted. */
  readonly unreadable: number;
}

/** Walks a folder without leaving its file system, so that mounted root file systems of containers do not count. */
export async function folderUsage(path: string): Promise<FolderUsage> {
  const root = await lstat(path).catch(() => undefined);
  if (!root) return { count: 0, bytes: 0, unreadable: 0 };
  let count = 0;
  let bytes = 0;
  let unreadable = 0;
  const folders = [path];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const names = await readdir(folder).catch((error: unknown) => {
      if (errorCode(error) === 'EACCES') unreadable += 1;
      return [];
    });
    if (folder === path) count = names.length;
    for (const name of names) {
      // What vanishes while it is counted is gone.
      const stat = await lstat(join(folder, name)).catch(() => undefined);
      if (stat?.dev !== root.dev) continue;
      if (stat.isDirectory()) folders.push(join(folder, name));
      else if (stat.isFile()) bytes += stat.size;
    }
  }
  return { count, bytes, unreadable };
}
