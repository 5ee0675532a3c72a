import { randomBytes } from 'node:crypto';
import { lstatSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crashPoint } from '../lib/crash-point.ts';
import { debugLog } from '../lib/debug.ts';
import { errorCode, errorMessage } from '../lib/errors.ts';

const debug = debugLog('store');

/** Something that stays in the trash: immutable, or with something mounted in it. */
export interface NotDeleted {
  readonly path: string;
  readonly reason: string;
}

export interface EmptiedTrash {
  /** How many things it tried to delete. */
  readonly tried: number;
  readonly notDeleted: readonly NotDeleted[];
}

/**
 * Where things go that are no longer what their name said. Removal is a rename, so that nothing half deleted ever has
 * its name, and the slow part can happen at any time, in any process.
 */
export class Trash {
  readonly #folder: string;

  constructor(root: string) {
    this.#folder = join(root, 'trash');
  }

  /**
   * @param options.name under which somebody may still use it: `empty` knows it by that
   * @returns where it is now; undefined if there was nothing at `path`
   */
  take(path: string, { name }: { name?: string } = {}): string | undefined {
    mkdirSync(this.#folder, { recursive: true });
    const random = randomBytes(8).toString('hex');
    const taken = join(this.#folder, name === undefined ? random : `${random}-${name}`);
    try {
      renameSync(path, taken);
      crashPoint('trash-taken');
      return taken;
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return undefined;
      throw error;
    }
  }

  /** Takes and deletes; what cannot be deleted now stays in the trash. */
  async remove(path: string): Promise<void> {
    const taken = this.take(path);
    if (taken !== undefined) await removeTree(taken);
  }

  /** Deletes what `take` has taken. */
  async delete(taken: string): Promise<void> {
    await removeTree(taken);
  }

  /** Deletes what is there and not in use. */
  async empty(isUsed: (name: string) => boolean = () => false): Promise<EmptiedTrash> {
    const unused = this.list(isUsed);
    const notDeleted: NotDeleted[] = [];
    for (const path of unused.map((name) => join(this.#folder, name))) {
      const reason = await removeTree(path);
      if (reason !== undefined) notDeleted.push({ path, reason });
    }
    return { tried: unused.length, notDeleted };
  }

  /** Names of what is there and not in use. */
  list(isUsed: (name: string) => boolean): string[] {
    return namesIn(this.#folder).filter((name) => !isUsed(name.split('-')[1] ?? ''));
  }
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

/**
 * The synchronous form goes by descriptors and so also removes paths beyond PATH_MAX, which layers may have.
 * @returns why it is still there
 */
async function removeTree(path: string): Promise<string | undefined> {
  const options = { recursive: true, force: true };
  try {
    await rm(path, options);
  } catch (first) {
    try {
      rmSync(path, options);
    } catch (second) {
      debug('%s stays in the trash: %s, %s', path, first, second);
      // The first form calls a file that may not be deleted no folder; the second has no words for what is mounted.
      const reason = errorMessage(errorCode(second) ? second : first);
      // Another process may have been faster.
      return lstatSync(path, { throwIfNoEntry: false }) && reason;
    }
  }
  return undefined;
}
