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
      const { blocks, bavail, bsize, files, ffree } = statfsSync(folder);
      // What has no limit of its own is reported as none at all: bytes of a tmpfs with size=0, inodes of btrfs.
      const bytes = blocks === 0 ? {} : { bytes: bavail * bsize };
      const inodes = files === 0 ? {} : { inodes: ffree };
      const counts = Object.entries({ ...bytes, ...inodes }).map(([name, count]) => `${count} ${name}`);
      return { text: counts.length === 0 ? '' : `, ${counts.join(' and ')} are free`, ...bytes, ...inodes };
    } catch {
      if (folder === dirname(folder)) return { text: '' };
    }
  }
}
