/** What the store asks of a file system beyond `node:fs`: folders and names that survive a power loss, clear errors. */
import { closeSync, fsync, lstatSync, openSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { promisify } from 'node:util';
import { errorCode, errorMessage, LadingError } from '../lib/errors.ts';
import { freeSpace } from '../lib/free-space.ts';
import { humanSize } from '../lib/human-size.ts';
import { makeFolders } from '../lib/make-folders.ts';

/** fsync(2), on another thread: it may take long. */
export const syncDescriptor = promisify(fsync);

const running = new Map<string, Promise<void>>();
const coming = new Map<string, Promise<void>>();

/**
 * Puts the names in a folder on stable storage. Who asks in the same turn, or while the folder is being synced for
 * others, shares the next call.
 */
export function syncFolder(path: string): Promise<void> {
  const shared = coming.get(path) ?? syncNext(path);
  coming.set(path, shared);
  return shared;
}

async function syncNext(path: string): Promise<void> {
  await (running.get(path) ?? setImmediate()).catch(() => {}); // its failure is for those who shared it
  coming.delete(path);
  const sync = syncFolderNow(path).finally(() => running.delete(path));
  running.set(path, sync);
  return sync;
}

async function syncFolderNow(path: string): Promise<void> {
  const folder = openSync(path, 'r');
  try {
    await syncDescriptor(folder);
  } finally {
    closeSync(folder);
  }
}

/** Bytes of a file; undefined if there is no such file. */
export function sizeOf(path: string): number | undefined {
  const found = statSync(path, { throwIfNoEntry: false });
  return found?.isFile() ? found.size : undefined;
}

/** Whether a folder has the name; a symlink to one does not count. */
export function isFolder(path: string): boolean {
  try {
    return lstatSync(path).isDirectory();
  } catch {
    return false;
  }
}

/**
 * Makes a folder and its parents; what was made is on stable storage afterwards. Who finds them made by another process
 * need not wait for it: ext4, xfs and btrfs take the names of new folders along when a name in them is synced.
 */
export async function makeFolder(path: string): Promise<void> {
  const firstMade = makeFolders(path);
  if (firstMade === undefined) return;
  for (let made = path; ; made = dirname(made)) {
    await syncFolder(dirname(made));
    if (made === firstMade) return;
  }
}

/**
 * Turns what a disk says into one clear error: full, read-only or failing. Everything else passes unchanged.
 * @param what names the work that failed, as in "store blob sha256:…"
 */
export function diskError(error: unknown, what: string, path: string, neededBytes?: number): unknown {
  const details = { cause: error, data: { path, neededBytes } };
  switch (errorCode(error)) {
    case 'ENOSPC':
    case 'EDQUOT': {
      const free = freeSpace(path);
      const need = neededBytes === undefined ? '' : `, ${humanSize(neededBytes)} are needed`;
      return new LadingError(
        'ERR_LADING_DISK_FULL',
        `cannot ${what}: no room on the disk of ${path}${need}${free.text}`,
        {
          ...details,
          hint: 'Free some space, or remove images that are not needed and run `lading gc`; then try again.',
          data: { ...details.data, freeBytes: free.bytes, freeInodes: free.inodes },
        },
      );
    }
    case 'EROFS':
      return new LadingError('ERR_LADING_DISK_READ_ONLY', `cannot ${what}: the file system of ${path} is read-only`, {
        ...details,
        hint: 'What is stored can still be read. Mount the file system writable, or choose another folder with --root.',
      });
    case 'EIO':
      return new LadingError('ERR_LADING_DISK_FAILING', `cannot ${what}: the device of ${path} reports an I/O error`, {
        ...details,
        hint: 'See the kernel log (dmesg) for the device. Nothing that was not confirmed by the device has been kept.',
      });
    case 'EACCES':
    case 'EPERM':
      return new LadingError('ERR_LADING_DISK_DENIED', `cannot ${what}: ${errorMessage(error)}`, {
        ...details,
        hint: 'Run as the user who owns the folder, or choose another one with --root.',
      });
    default:
      return error;
  }
}

/**
 * Refuses work that cannot end well.
 * @param bytes at least so many will be written
 * @throws LadingError `ERR_LADING_DISK_FULL`
 */
export function requireSpace(path: string, bytes: number, what: string): void {
  const { bytes: free } = freeSpace(path);
  if (free === undefined || free >= bytes) return;
  throw diskError(Object.assign(new Error(`${bytes} bytes do not fit`), { code: 'ENOSPC' }), what, path, bytes);
}

/** SQLite opens a database with less: two files beside it. */
const roomToOpen = { bytes: 64 * 1024, inodes: 2 };

/** Whether the file system of a folder may be too full to open a database there. */
export function isFull(folder: string): boolean {
  const { bytes = Number.POSITIVE_INFINITY, inodes = Number.POSITIVE_INFINITY } = freeSpace(folder);
  return bytes < roomToOpen.bytes || inodes < roomToOpen.inodes;
}
