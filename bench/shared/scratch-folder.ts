import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';

/** How each goes. A file system is behind the folder of its image, and goes before it. */
const removals = new Map<string, () => void>();
process.once('exit', () => [...removals.keys()].reverse().forEach(removeFolder));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => process.exit(128 + constants.signals[signal]));
}

/** An empty folder below `parent`; what `removeFolder` has not removed goes when the process ends, interrupted or not. */
export function scratchFolder(parent: string): string {
  const folder = mkdtempSync(join(parent, 'lading-bench-'));
  removals.set(folder, () => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Sparse: takes what is written. */
const fileSystemBytes = 32 * 2 ** 30;

/**
 * The same on a new ext4 in a file of its own, as root. For minutes after an inode was freed ext4 searches around it
 * whenever it makes another one: a pull of 120,000 files took 6 s where nothing had been removed, and 24 to 31 s where
 * the run before had just been.
 */
export function scratchFileSystem(parent: string): string {
  const folder = scratchFolder(parent);
  const [image, mountPoint] = [join(folder, 'image'), join(folder, 'mounted')];
  mkdirSync(mountPoint);
  writeFileSync(image, '');
  truncateSync(image, fileSystemBytes);
  // All of it at once: otherwise the kernel goes on while the first run is measured.
  execFileSync('mkfs.ext4', ['-q', '-F', '-E', 'lazy_itable_init=0,lazy_journal_init=0', image]);
  // Past the cache of the file below: it would hold everything a second time.
  const device = execFileSync('losetup', ['--find', '--show', '--direct-io=on', image], { encoding: 'utf8' }).trim();
  try {
    execFileSync('mount', [device, mountPoint]);
    removals.set(mountPoint, () => {
      execFileSync('umount', ['--recursive', mountPoint]);
      removeFolder(folder);
    });
  } finally {
    // Once nothing is mounted from it.
    execFileSync('losetup', ['--detach', device]);
  }
  return mountPoint;
}

/** What `scratchFolder` or `scratchFileSystem` has made. */
export function removeFolder(folder: string): void {
  removals.get(folder)?.();
  removals.delete(folder);
}
