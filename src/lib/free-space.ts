import { statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { humanSize } from './human-size.ts';

export interface FreeSpace {
  /** `, 12.3MB and 45 inodes are free`; empty where nobody knows. */
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
      const bytes = blocks === 0 ? undefined : bavail * bsize;
      const inodes = files === 0 ? undefined : ffree;
      const counts = [
        ...(bytes === undefined ? [] : [humanSize(bytes)]),
        ...(inodes === undefined ? [] : [`${inodes} inodes`]),
      ];
      return {
        text: counts.length === 0 ? '' : `, ${counts.join(' and ')} are free`,
        ...(bytes === undefined ? {} : { bytes }),
        ...(inodes === undefined ? {} : { inodes }),
      };
    } catch {
      if (folder === dirname(folder)) return { text: '' };
    }
  }
}
