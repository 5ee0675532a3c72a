import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { errorCode } from '../lib/errors.ts';
import { type JsonValue, parseJsonDocument } from '../oci/json-document.ts';
import { invalid } from './errors.ts';
import { collect } from './verified.ts';

/** Files by name, in a folder or in an archive. */
export interface Files {
  /** For messages: `archive backup.tar`. */
  readonly place: string;
  /** Bytes; undefined if there is no such file. */
  size(name: string): Promise<number | undefined>;
  /** From `start` on; the file is there. */
  read(name: string, range?: { start?: number }): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

/** The files of a folder. */
export function folderFiles(folder: string): Files {
  return {
    place: `OCI layout ${folder}`,
    async size(name) {
      try {
        const found = await stat(join(folder, name));
        return found.isFile() ? found.size : undefined;
      } catch (error) {
        if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return undefined;
        throw error;
      }
    },
    read: (name, { start = 0 } = {}) => createReadStream(join(folder, name), { start, highWaterMark: 256 * 1024 }),
    close: async () => {},
  };
}

/** Far beyond what lists of images need. */
const maxListBytes = 8 * 1024 * 1024;

/**
 * A small JSON file; undefined if it is not there.
 * @throws LadingError `ERR_LADING_ARCHIVE_INVALID`
 */
export async function readJson(files: Files, name: string): Promise<JsonValue | undefined> {
  const size = await files.size(name);
  if (size === undefined) return undefined;
  const fail = (problem: string) => {
    throw invalid(files.place, `${name}: ${problem}`);
  };
  if (size > maxListBytes) return fail(`its ${size} bytes are more than the ${maxListBytes} that are read`);
  return parseJsonDocument(await collect(files.read(name)), fail);
}
