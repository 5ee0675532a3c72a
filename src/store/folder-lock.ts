import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from '../lib/errors.ts';
import { tryFlock } from '../lib/libc.ts';
import { makeFolders } from '../lib/make-folders.ts';

/** A folder that only its holder may write to or remove. The kernel ends the lock with the process. */
export interface FolderLock {
  release(): Promise<void>;
}

export interface FolderLockOptions {
  readonly signal?: AbortSignal | undefined;
  /** What to do while somebody else holds it; `wait` unless given. */
  readonly whenBusy?: 'wait' | 'give-up' | undefined;
}

const heldHere = new Set<string>();
const longestPauseMs = 200;

/**
 * Makes the folder if it is missing and locks it: between the processes of this machine by flock(2) on Linux, within
 * this process elsewhere. The holder may remove the folder; who waited for it then locks a new one.
 * @returns undefined if it is busy and `whenBusy` is `give-up`
 * @throws the signal's reason when aborted while waiting
 */
export async function lockFolder(path: string, options: FolderLockOptions = {}): Promise<FolderLock | undefined> {
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 2, longestPauseMs)) {
    options.signal?.throwIfAborted();
    const lock = tryLock(path);
    if (lock !== 'busy') return lock;
    if (options.whenBusy === 'give-up') return undefined;
    await sleep(pauseMs, undefined, { signal: options.signal });
  }
}

function tryLock(path: string): FolderLock | 'busy' {
  while (!heldHere.has(path)) {
    heldHere.add(path);
    let folder: number | undefined;
    try {
      folder = openFolder(path);
      if (process.platform === 'linux' && !tryFlock(folder, 'exclusive')) {
        closeSync(folder);
        heldHere.delete(path);
        return 'busy';
      }
      if (isStill(folder, path)) return held(path, folder);
      closeSync(folder);
      heldHere.delete(path);
    } catch (error) {
      if (folder !== undefined) closeSync(folder);
      heldHere.delete(path);
      throw error;
    }
  }
  return 'busy';
}

/** Makes and opens a folder that its holder may be removing: mkdir(2) can find it there and stat(2) miss it. */
function openFolder(path: string): number {
  for (let attempt = 1; ; attempt += 1) {
    try {
      makeFolders(path);
      return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      if (!['ENOENT', 'EEXIST'].includes(errorCode(error) ?? '') || attempt === maxAttempts) throw error;
    }
  }
}
/** Each one loses to a removal in the same microseconds; some places (below /proc) have no room for a folder at all. */
const maxAttempts = 100;

/** The holder before may have removed the folder: then what was locked has no name any more. */
function isStill(folder: number, path: string): boolean {
  const locked = fstatSync(folder, { bigint: true });
  const named = statSync(path, { bigint: true, throwIfNoEntry: false });
  return named !== undefined && named.ino === locked.ino && named.dev === locked.dev;
}

function held(path: string, folder: number): FolderLock {
  let released = false;
  return {
    release: async () => {
      if (released) return;
      released = true;
      heldHere.delete(path);
      closeSync(folder);
    },
  };
}
