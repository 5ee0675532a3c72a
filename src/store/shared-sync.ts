import { syncfs } from '../lib/libc.ts';

interface Member {
  readonly fd: number;
  /** Smaller if it was opened earlier. */
  readonly order: number;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Where syncing is slower than this, several are worth waiting for; a memory file system takes microseconds. */
const slowSyncMs = 5;
/** Longest wait for others that are still being written. */
const gatherMs = 200;

/**
 * Puts what several folders of one file system hold on stable storage with one syncfs(2), for those that are ready at
 * about the same time. On a busy ext4 disk each one took 60 ms: 40 small layers wait for a few of them instead of 40.
 * @see layers.md 14 ("one syncfs for several layers of a pull is fine if all renames follow it")
 */
export class SharedSync {
  /** Folders that are being written and will ask for it. */
  #writing = 0;
  #waiting: Member[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isRunning = false;
  #lastMs = 0;
  #opened = 0;

  /** A folder begins; call it right after its descriptor was opened. @returns its place among all */
  begin(): number {
    this.#writing += 1;
    return this.#opened++;
  }

  /** The folder will not ask, or not any more. */
  end(): void {
    this.#writing -= 1;
    this.#startIfUseful();
  }

  /**
   * @param fd opened before anything was written
   * @throws Error ENOSPC, EIO: to all who shared the call, since nobody can tell whose bytes were lost
   */
  sync(fd: number, order: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ fd, order, resolve, reject });
      this.#startIfUseful();
    });
  }

  #startIfUseful(): void {
    if (this.#waiting.length === 0 || this.#isRunning) return;
    const allAreHere = this.#waiting.length >= this.#writing;
    if (allAreHere || this.#lastMs < slowSyncMs) void this.#run();
    else this.#timer ??= setTimeout(() => void this.#run(), gatherMs);
  }

  async #run(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const members = this.#waiting;
    this.#waiting = [];
    this.#isRunning = true;
    // A descriptor learns of errors since it was opened: the earliest one learns of those of all others.
    const { fd } = members.reduce((first, member) => (member.order < first.order ? member : first));
    const startMs = performance.now();
    try {
      await syncfs(fd);
      for (const { resolve } of members) resolve();
    } catch (error) {
      for (const { reject } of members) reject(error);
    }
    this.#lastMs = performance.now() - startMs;
    this.#isRunning = false;
    this.#startIfUseful();
  }
}

const byDevice = new Map<number, SharedSync>();

/** The one of a file system, by its device number. */
export function sharedSync(device: number): SharedSync {
  let sync = byDevice.get(device);
  if (!sync) {
    sync = new SharedSync();
    byDevice.set(device, sync);
  }
  return sync;
}
