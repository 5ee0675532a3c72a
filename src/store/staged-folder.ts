import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { crashPoint } from '../lib/crash-point.ts';
import { syncfs } from '../lib/libc.ts';
import { diskError, makeFolder, syncFolder } from './disk.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';
import type { Trash } from './trash.ts';

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
  /** Opened before anything is written: errors of writeback since then are reported by syncfs. */
  readonly #fileSystem: FileHandle;
  #ended = false;

  private constructor(path: string, target: string, trash: Trash, lock: FolderLock, fileSystem: FileHandle) {
    this.path = path;
    this.#target = target;
    this.#trash = trash;
    this.#lock = lock;
    this.#fileSystem = fileSystem;
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
        void trash.remove(content);
        await mkdir(content, { mode: 0o755 });
        return new StagedFolder(content, target, trash, lock, await open(content, 'r'));
      } catch (error) {
        await lock.release();
        throw error;
      }
    } catch (error) {
      throw diskError(error, `prepare ${target}`, path);
    }
  }

  /** @throws LadingError `ERR_LADING_DISK_FULL`, `ERR_LADING_DISK_FAILING`; the folder is gone then */
  async publish(): Promise<void> {
    try {
      crashPoint('folder-written');
      if (process.platform === 'linux') await syncfs(this.#fileSystem.fd);
      crashPoint('folder-synced');
      this.#trash.take(this.#target);
      await rename(this.path, this.#target);
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
    await this.#trash.remove(this.path);
    await this.#end();
  }

  async #end(): Promise<void> {
    this.#ended = true;
    await this.#fileSystem.close();
    await rm(dirname(this.path), { recursive: true, force: true });
    await this.#lock.release();
  }
}
