import { chmodSync, closeSync, mkdirSync, openSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { crashPoint } from '../lib/crash-point.ts';
import { errorCode } from '../lib/errors.ts';
import { diskError, makeFolder, syncFolder } from './disk.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';
import { type SharedSync, sharedSync } from './shared-sync.ts';
import type { Trash } from './trash.ts';

interface Opened {
  readonly lock: FolderLock;
  readonly fileSystem: number;
  readonly sync: SharedSync;
  readonly order: number;
}

/**
 * A folder in the making, on the file system of its place, by one process at a time. It gets its name by one rename
 * after everything in it is on stable storage; anything else than that leaves nothing behind.
 * @see layers.md 14
 */
export class StagedFolder {
  /** Empty at first; only its owner knows it. */
  readonly path: string;
  readonly #target: string;
  readonly #trash: Trash;
  readonly #lock: FolderLock;
  readonly #sync: SharedSync;
  readonly #order: number;
  /** Opened before anything is written: errors of writeback since then are reported by syncfs. */
  readonly #fileSystem: number;
  #ended = false;

  private constructor(path: string, to: { target: string; trash: Trash }, opened: Opened) {
    this.path = path;
    this.#target = to.target;
    this.#trash = to.trash;
    this.#lock = opened.lock;
    this.#sync = opened.sync;
    this.#order = opened.order;
    this.#fileSystem = opened.fileSystem;
  }

  /** Waits for whoever holds `path`; what a killed process left there is thrown away. */
  static async open(
    path: string,
    options: { target: string; trash: Trash; signal?: AbortSignal | undefined },
  ): Promise<StagedFolder> {
    const { target, trash, signal } = options;
    try {
      await makeFolder(dirname(target));
      const lock = (await lockFolder(path, { signal }))!;
      try {
        const content = join(path, 'new');
        const left = throwAway(content, trash);
        if (left !== undefined) void trash.delete(left);
        // Trees hold setuid programs, and folders that everybody may write to.
        mkdirSync(content, { mode: 0o700 });
        crashPoint('folder-opened');
        const sync = sharedSync(statSync(content).dev);
        const fileSystem = openSync(content, 'r');
        return new StagedFolder(content, { target, trash }, { lock, fileSystem, sync, order: sync.begin() });
      } catch (error) {
        rmSync(path, { recursive: true, force: true });
        await lock.release();
        throw error;
      }
    } catch (error) {
      throw diskError(error, `prepare ${target}`, path);
    }
  }

  /**
   * Makes the folder for a tree in it: empty, 0755.
   * @throws LadingError `ERR_LADING_DISK_FULL` and others of `diskError`; nothing is left then
   */
  async makeTree(): Promise<string> {
    const tree = join(this.path, 'fs');
    try {
      mkdirSync(tree);
      chmodSync(tree, 0o755);
      return tree;
    } catch (error) {
      await this.discard();
      throw diskError(error, `prepare ${this.#target}`, this.path);
    }
  }

  /** @throws LadingError `ERR_LADING_DISK_FULL`, `ERR_LADING_DISK_FAILING`; the folder is gone then */
  async publish(): Promise<void> {
    try {
      crashPoint('folder-written');
      if (process.platform === 'linux') await this.#sync.sync(this.#fileSystem, this.#order);
      crashPoint('folder-synced');
      // Containers may have what was damaged mounted.
      this.#trash.take(this.#target, { name: basename(this.#target) });
      renameSync(this.path, this.#target);
      await syncFolder(dirname(this.#target));
      crashPoint('folder-renamed');
      await this.#end();
    } catch (error) {
      await this.discard();
      throw diskError(error, `publish ${this.#target}`, dirname(this.#target));
    }
  }

  async discard(): Promise<void> {
    if (this.#ended) return;
    const left = throwAway(this.path, this.#trash);
    if (left !== undefined) await this.#trash.delete(left);
    crashPoint('folder-discarded');
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#ended = true;
    this.#sync.end();
    closeSync(this.#fileSystem);
    rmSync(dirname(this.path), { recursive: true, force: true });
    await this.#lock.release();
  }
}

const noRoom = new Set(['ENOSPC', 'EDQUOT']);

/**
 * A full disk may have room for removals and none for a rename (btrfs). What is in the making can be deleted where it is:
 * half of it is worth as little as all.
 * @returns where it waits to be deleted; undefined if it is gone
 */
function throwAway(path: string, trash: Trash): string | undefined {
  try {
    return trash.take(path);
  } catch (error) {
    if (!noRoom.has(errorCode(error) ?? '')) throw error;
    rmSync(path, { recursive: true, force: true });
    return undefined;
  }
}
