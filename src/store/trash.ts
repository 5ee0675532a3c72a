import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crashPoint } from '../lib/crash-point.ts';
import { debugLog } from '../lib/debug.ts';
import { errorCode } from '../lib/errors.ts';

const debug = debugLog('store');

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
  delete(taken: string): Promise<void> {
    return removeTree(taken);
  }

  /** Deletes what is there and not in use. @returns how many things it tried to delete */
  async empty(isUsed: (name: string) => boolean = () => false): Promise<number> {
    const entries = await readdir(this.#folder).catch(() => []);
    const unused = entries.filter((entry) => !isUsed(entry.split('-')[1] ?? ''));
    for (const entry of unused) await removeTree(join(this.#folder, entry));
    return unused.length;
  }
}

/** The synchronous form goes by descriptors and so also removes paths beyond PATH_MAX, which layers may have. */
async function removeTree(path: string): Promise<void> {
  try {
    await rm(path, { recursive: true, force: true }).catch(() => rmSync(path, { recursive: true, force: true }));
  } catch (error) {
    debug('%s stays in the trash: %s', path, error);
  }
}
