import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PulledRecord } from '../policy/index.ts';
import {
  type Decoded,
  formatIntent,
  formatRecord,
  parseIntent,
  parseRecord,
  recordFileName,
} from './pull-record-format.ts';

/**
 * The kubelet's files about pulls, one per intent and one per pulled image. A file is visible only when it is complete;
 * files that cannot be decoded stay where they are. Nobody but the owner can read them.
 * @see pull-policy.md 9.4
 */
export class PullRecords {
  readonly #intents: string;
  readonly #records: string;

  /** @param directory where `image_manager/` is, or will be */
  constructor(directory: string) {
    this.#intents = join(directory, 'image_manager', 'pulling');
    this.#records = join(directory, 'image_manager', 'pulled');
  }

  /** Creates the folders, and rewrites files of an older version. */
  async open(): Promise<void> {
    for (const folder of [this.#intents, this.#records]) await mkdir(folder, { recursive: true, mode: 0o700 });
    for (const { value, outdated } of await this.#decodeAll(this.#intents, parseIntent, (image) => image)) {
      if (outdated) await this.writeIntent(value);
    }
    for (const { value, outdated } of await this.#decodeAll(this.#records, parseRecord, ({ imageRef }) => imageRef)) {
      if (outdated) await this.writeRecord(value);
    }
  }

  async writeIntent(image: string): Promise<void> {
    await write(this.#intents, image, formatIntent(image));
  }

  /** @throws Error when there is a file for it that cannot be decoded */
  async hasIntent(image: string): Promise<boolean> {
    const text = await read(this.#intents, image);
    if (text === undefined) return false;
    const intent = parseIntent(text);
    if (!intent) throw new Error(`the intent to pull ${image} cannot be read`);
    return intent.value === image;
  }

  async deleteIntent(image: string): Promise<void> {
    await rm(join(this.#intents, recordFileName(image)), { force: true });
  }

  async intents(): Promise<string[]> {
    const decoded = await this.#decodeAll(this.#intents, parseIntent, (image) => image);
    return decoded.map(({ value }) => value).sort();
  }

  /** @returns `unreadable` when there is a file for it that cannot be decoded */
  async record(imageRef: string): Promise<PulledRecord | 'unreadable' | undefined> {
    const text = await read(this.#records, imageRef);
    if (text === undefined) return undefined;
    const record = parseRecord(text);
    if (!record) return 'unreadable';
    return record.value.imageRef === imageRef ? record.value : undefined;
  }

  async writeRecord(record: PulledRecord): Promise<void> {
    await write(this.#records, record.imageRef, formatRecord(record));
  }

  async deleteRecord(imageRef: string): Promise<void> {
    await rm(join(this.#records, recordFileName(imageRef)), { force: true });
  }

  async records(): Promise<PulledRecord[]> {
    const decoded = await this.#decodeAll(this.#records, parseRecord, ({ imageRef }) => imageRef);
    return decoded.map(({ value }) => value);
  }

  /** What can be decoded and repeats the key that its file is named after. */
  async #decodeAll<T>(
    folder: string,
    parse: (text: string) => Decoded<T> | undefined,
    keyOf: (value: T) => string,
  ): Promise<Decoded<T>[]> {
    const found: Decoded<T>[] = [];
    for (const name of await namesIn(folder)) {
      if (!/^sha256-[0-9a-f]{64}$/.test(name)) continue;
      const decoded = parse((await readText(join(folder, name))) ?? '');
      if (decoded && recordFileName(keyOf(decoded.value)) === name) found.push(decoded);
    }
    return found;
  }
}

/** A folder that is not there is empty. */
async function namesIn(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function read(folder: string, key: string): Promise<string | undefined> {
  return readText(join(folder, recordFileName(key)));
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

async function write(folder: string, key: string, text: string): Promise<void> {
  const path = join(folder, recordFileName(key));
  // One name for each process, since several may run pods on a node.
  const written = `${path}.${process.pid}.tmp`;
  await writeFile(written, text, { mode: 0o600 });
  await rename(written, path);
}
