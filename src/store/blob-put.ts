import { randomUUID } from 'node:crypto';
import { closeSync, fchmodSync, openSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { crashPoint } from '../lib/crash-point.ts';
import { debugLog } from '../lib/debug.ts';
import { errorCode } from '../lib/errors.ts';
import { tryFlock } from '../lib/libc.ts';
import { diskError, makeFolder, syncDescriptor, syncFolder } from './disk.ts';

/**
 * How content that is in memory gets its name, in one go: a file that only its writer knows is written, put on stable
 * storage and renamed. It is locked before its first byte, so that what a killed process left can be told from what is
 * being written. Only for the disk another thread waits: handing it a call takes 45 µs of the processor, and most calls
 * take 4.
 */

const prefix = 'put-';
const isLinux = process.platform === 'linux';
const debug = debugLog('store');

/** When the name of a blob is on stable storage too: when its `put` ends, or after `syncNames`. */
export interface PutOptions {
  readonly syncName?: 'now' | 'later';
}

interface Place extends PutOptions {
  /** Where the bytes are until they are complete, on the same file system as the target; made if it is missing. */
  readonly folder: string;
  /** Names them in errors. */
  readonly what: string;
}

/**
 * Makes bytes the file `target`, complete and on stable storage; its folder is made if it is missing.
 * @throws LadingError `ERR_LADING_DISK_FULL` and others of `diskError`; nothing is left then
 */
export async function putFile(
  bytes: Uint8Array,
  target: string,
  { folder, what, syncName = 'now' }: Place,
): Promise<void> {
  const unfinished = join(folder, `${prefix}${randomUUID()}`);
  let fd: number | undefined;
  try {
    fd = await makingFolder(folder, () => openSync(unfinished, 'wx', 0o444));
    if (isLinux) tryFlock(fd, 'exclusive');
    writeFileSync(fd, bytes);
    fchmodSync(fd, 0o444); // whatever the umask is
    crashPoint('blob-verified');
    await syncDescriptor(fd);
    crashPoint('blob-synced');
    await makingFolder(dirname(target), () => renameSync(unfinished, target));
    crashPoint('blob-renamed');
    if (syncName === 'now') await syncFolder(dirname(target));
    crashPoint('blob-published');
  } catch (error) {
    rmSync(unfinished, { force: true });
    throw diskError(error, `store ${what}`, folder, bytes.byteLength);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/**
 * Removes what killed processes left in the folder. An empty file stays: its writer may be about to lock it. So does
 * everything where there are no locks between processes.
 */
export function removeAbandonedPuts(folder: string): void {
  if (!isLinux) return;
  for (const name of namesIn(folder).filter((one) => one.startsWith(prefix))) {
    const path = join(folder, name);
    const found = statSync(path, { throwIfNoEntry: false });
    if (found?.isFile() && found.size > 0) removeUnlessLocked(path);
  }
}

/** Removes an unfinished file unless its writer is alive. @returns whether it is gone */
export function removeUnlessLocked(path: string): boolean {
  let fd: number | undefined;
  try {
    fd = openSync(path, 'r');
    if (isLinux && !tryFlock(fd, 'exclusive')) return false;
    rmSync(path, { force: true });
    return true;
  } catch (error) {
    debug('%s stays: %s', path, error);
    return false;
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Does what needs a folder, which may be missing, or go just now: who ends a copy removes what is empty. */
async function makingFolder<T>(folder: string, work: () => T): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return work();
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || attempt === maxAttempts) throw error;
      await makeFolder(folder);
    }
  }
}
/** Each one loses to a removal in the same microseconds. */
const maxAttempts = 100;

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
