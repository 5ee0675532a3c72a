import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';

export interface FreeSpace {
  /** `, 12 bytes and 3 inodes are free`; empty where nobody knows. */
  readonly text: string;
  readonly bytes?: number;
  readonly inodes?: number;
}

/** What is free on the file system of a path, which need not be there. */
export function freeSpace(path: string): FreeSpace {
  for (let folder = path; ; folder = dirname(folder)) {
    try {
      const { bavail, bsize, files, ffree } = statfsSync(folder);
      const bytes = bavail * bsize;
      // File systems that make inodes as they need them (btrfs) report none at all.
      if (files === 0) return { text: `, ${bytes} bytes are free`, bytes };
      return { text: `, ${bytes} bytes and ${ffree} inodes are free`, bytes, inodes: ffree };
    } catch {
      if (folder === dirname(folder)) return { text: '' };
    }
  }
}
