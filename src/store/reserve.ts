import { rmSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { sizeOf } from './disk.ts';

/** Room that removing needs on a full disk: deleted rows are first written to the log of the database. */
const reserveBytes = 1024 * 1024;

export class Reserve {
  readonly #file: string;

  constructor(root: string) {
    this.#file = join(root, 'reserve');
  }

  /** Puts the room aside if it is not there and the disk has it. */
  async keep(): Promise<void> {
    if (sizeOf(this.#file) === reserveBytes) return;
    await writeFile(this.#file, Buffer.alloc(reserveBytes, 'reserve ')).catch(() => this.release());
  }

  release(): void {
    rmSync(this.#file, { force: true });
  }
}
