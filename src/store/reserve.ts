import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sizeOf } from './disk.ts';

/** Room that removing needs on a full disk: deleted rows are first written to the log of the database. */
const reserveBytes = 1024 * 1024;
/** To open the database takes two files beside it, to write the layout one more. */
const reserveFiles = 8;
const bytesOfFile = reserveBytes / reserveFiles;

/** Bytes and inodes that are put aside, as files in a folder. */
export class Reserve {
  readonly #folder: string;

  constructor(root: string) {
    this.#folder = join(root, 'reserve');
  }

  /** Puts the room aside if it is not there and the disk has it. */
  keep(): void {
    const files = Array.from({ length: reserveFiles }, (_, index) => join(this.#folder, String(index)));
    if (files.every((file) => sizeOf(file) === bytesOfFile)) return;
    this.release();
    try {
      mkdirSync(this.#folder);
      for (const file of files) writeFileSync(file, Buffer.alloc(bytesOfFile, 'reserve '));
    } catch {
      this.release();
    }
  }

  release(): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
