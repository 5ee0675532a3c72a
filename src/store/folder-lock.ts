import { constants } from 'node:fs';
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { errorCode } from '../lib/errors.ts';
import { tryFlock } from '../lib/libc.ts';

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
    const lock = await tryLock(path);
    if (lock !== 'busy') return lock;
    if (options.whenBusy === 'give-up') return undefined;
    await sleep(pauseMs, undefined, { signal: options.signal });
  }
}

async function tryLock(path: string): Promise<FolderLock | 'busy'> {
  while (!heldHere.has(path)) {
    heldHere.add(path);
    let folder: FileHandle | undefined;
    try {
      folder = await openFolder(path);
      if (process.platform === 'linux' && !tryFlock(folder.fd, 'exclusive')) {
        await folder.close();
        heldHere.delete(path);
        return 'busy';
      }
      if (await isStill(folder, path)) return held(path, folder);
      await folder.close();
      heldHere.delete(path);
    } catch (error) {
      await folder?.close();
      heldHere.delete(path);
      throw error;
    }
  }
  return 'busy';
}

/** Makes and opens a folder that its holder may be removing: mkdir(2) can find it there and stat(2) miss it. */
async function openFolder(path: string): Promise<FileHandle> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await mkdir(path, { recursive: true });
      return await open(path, constants.O_RDONLY | constants.O_DIRECTORY);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT' || attempt === maxAttempts) throw error;
    }
  }
}
/** Each one loses to a removal in the same microseconds; some places (below /proc) have no room for a folder at all. */
const maxAttempts = 100;

/** The holder before may have removed the folder: then what was locked has no name any more. */
async function isStill(folder: FileHandle, path: string): Promise<boolean> {
  const locked = await folder.stat({ bigint: true });
  const named = await stat(path, { bigint: true }).catch(() => undefined);
  return named !== undefined && named.ino === locked.ino && named.dev === locked.dev;
}

function held(path: string, folder: FileHandle): FolderLock {
  let released = false;
  return {
    release: async () => {
      if (released) return;
      released = true;
      heldHere.delete(path);
      await folder.close();
    },
  };
}
