import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { errorCode } from './errors.ts';

/**
 * Makes a folder and its parents. `mkdirSync` with `recursive` tries for ever where a folder that is there takes no
 * other: below /proc, and below mount points of autofs.
 * @returns the topmost folder that was made; undefined if all of them were there
 * @throws Error of mkdir(2)
 */
export function makeFolders(path: string): string | undefined {
  try {
    return makeFolder(path);
  } catch (error) {
    const parent = dirname(path);
    if (errorCode(error) !== 'ENOENT' || parent === path) throw error;
    const first = makeFolders(parent);
    const own = makeFolder(path);
    return first ?? own;
  }
}

/** @returns its path, if it was not there */
function makeFolder(path: string): string | undefined {
  try {
    mkdirSync(path);
    return path;
  } catch (error) {
    if (errorCode(error) === 'EEXIST' && statSync(path, { throwIfNoEntry: false })?.isDirectory()) return undefined;
    throw error;
  }
}
