import { createReadStream } from 'node:fs';
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { errorCode, errorMessage, LadingError } from '../lib/errors.ts';
import { type Digest, Digester, digestAlgorithm, digestHex, digestOf, isDigest } from '../oci/digest.ts';
import { type BlobIngest, FileIngest, type IngestOptions } from './blob-ingest.ts';
import { type PutOptions, putFile, removeAbandonedPuts } from './blob-put.ts';
import { sizeOf, syncFolder } from './disk.ts';
import { digestMismatch, sizeMismatch } from './wrong-content.ts';

/**
 * Blobs by digest below one folder: `<root>/blobs/<algorithm>/<hex>`, and blobs in the making below
 * `<root>/ingest/`. A name under `blobs/` is a promise: the file has that digest, is complete and on stable
 * storage; it is never written again. Several processes may use one root. Makes no folder before the first write.
 * @see layers.md 12 and 13
 */
export class BlobStore {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /** Where the blob is or would be. */
  path(digest: Digest): string {
    return join(this.root, 'blobs', digestAlgorithm(digest), digestHex(digest));
  }

  /** Bytes of the blob; undefined if it is not there. */
  async size(digest: Digest): Promise<number | undefined> {
    return sizeOf(this.path(digest));
  }

  /** The same at once, for decisions inside a transaction. */
  sizeNow(digest: Digest): number | undefined {
    return sizeOf(this.path(digest));
  }

  /** The blob's bytes from `start` up to and with `end`, not hashed again; a missing blob is an ENOENT of the stream. */
  openRead(digest: Digest, range: { start?: number; end?: number } = {}): Readable {
    return createReadStream(this.path(digest), { ...range, highWaterMark: 256 * 1024 });
  }

  /**
   * The whole of a small blob, hashed again.
   * @throws LadingError `ERR_LADING_BLOB_MISSING`, `ERR_LADING_BLOB_TOO_LARGE`, `ERR_LADING_BLOB_DAMAGED`
   */
  async read(digest: Digest, limits: { maxBytes: number }): Promise<Uint8Array> {
    const size = await this.size(digest);
    if (size === undefined) throw missing(digest);
    if (size > limits.maxBytes) {
      throw new LadingError(
        'ERR_LADING_BLOB_TOO_LARGE',
        `blob ${digest} has ${size} bytes, at most ${limits.maxBytes} are read`,
      );
    }
    const bytes = await readFile(this.path(digest)).catch((error: unknown) => {
      throw errorCode(error) === 'ENOENT' ? missing(digest, error) : error;
    });
    if (digestOf(bytes, digestAlgorithm(digest)) !== digest) {
      throw new LadingError('ERR_LADING_BLOB_DAMAGED', `the stored bytes of blob ${digest} do not have that digest`, {
        hint: 'Run `lading check --repair`, which fetches what is damaged again.',
        data: { digest, path: this.path(digest) },
      });
    }
    return bytes;
  }

  /**
   * What is wrong with a stored blob, all of it read and hashed again; undefined if nothing is.
   * @throws the signal's reason when aborted
   */
  async damage(digest: Digest, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<string | undefined> {
    const digester = new Digester(digestAlgorithm(digest));
    try {
      for await (const chunk of this.openRead(digest)) {
        signal?.throwIfAborted();
        digester.update(chunk as Buffer);
      }
    } catch (error) {
      signal?.throwIfAborted();
      return `cannot be read: ${errorMessage(error)}`;
    }
    return digester.digest() === digest ? undefined : 'has other content than its digest says';
  }

  /**
   * Begins or goes on with a blob. Exclusive between all processes that use this root: waits for the holder of the key.
   * What an earlier writer left is hashed, and counts as `offset`.
   * @param key letters, digits, `.`, `_`, `-`
   * @throws LadingError `ERR_LADING_INGEST_BUSY` if `whenBusy` is `give-up`; the signal's reason when aborted
   */
  async openIngest(key: string, options: IngestOptions = {}): Promise<BlobIngest> {
    const blobPath = (digest: Digest) => this.path(digest);
    const ingest = await FileIngest.open(key, this.#ingestFolder(key), { options, blobPath });
    if (ingest) return ingest;
    throw new LadingError('ERR_LADING_INGEST_BUSY', `somebody else is writing ingest ${key}`, {
      hint: 'Wait until it is done, then ask again.',
    });
  }

  /** Bytes that an unfinished ingest has on disk; 0 if there is none. */
  async ingestSize(key: string): Promise<number> {
    return sizeOf(join(this.#ingestFolder(key), 'data')) ?? 0;
  }

  /**
   * Stores bytes that are in memory.
   * @param expected what they must be; anything unless given
   * @throws LadingError `ERR_LADING_DIGEST_MISMATCH`, `ERR_LADING_SIZE_MISMATCH`, `ERR_LADING_DISK_FULL`: nothing is kept
   */
  async put(
    bytes: Uint8Array,
    expected?: { digest: Digest; size?: number },
    options: PutOptions = {},
  ): Promise<Digest> {
    const size = bytes.byteLength;
    if (expected?.size !== undefined && expected.size !== size) {
      throw sizeMismatch(expected.digest, expected.size, String(size));
    }
    const digest = digestOf(bytes, expected && digestAlgorithm(expected.digest));
    if (expected && digest !== expected.digest) throw digestMismatch(expected.digest, digest, size);
    if (this.sizeNow(digest) === size) return digest;
    await putFile(bytes, this.path(digest), { ...options, folder: this.#ingests, what: `blob ${digest}` });
    return digest;
  }

  /** Puts the names of all blobs on stable storage. */
  async syncNames(): Promise<void> {
    const blobs = join(this.root, 'blobs');
    await Promise.all((await names(blobs)).map((algorithm) => syncFolder(join(blobs, algorithm))));
  }

  /** What killed processes left of a `put`. What they left of an ingest is for whoever opens its key. */
  removeAbandonedPuts(): void {
    removeAbandonedPuts(this.#ingests);
  }

  /** A blob that is not there is success. */
  async remove(digest: Digest): Promise<void> {
    await rm(this.path(digest), { force: true });
  }

  /** All blobs with their sizes in bytes, in no order. */
  async *list(): AsyncIterable<{ digest: Digest; size: number }> {
    for (const algorithm of await names(join(this.root, 'blobs'))) {
      for (const hex of await names(join(this.root, 'blobs', algorithm))) {
        const digest = `${algorithm}:${hex}`;
        if (!isDigest(digest)) continue;
        const size = await this.size(digest);
        if (size !== undefined) yield { digest, size };
      }
    }
  }

  get #ingests(): string {
    return join(this.root, 'ingest');
  }

  #ingestFolder(key: string): string {
    if (!/^[A-Za-z0-9_-][A-Za-z0-9._-]{0,199}$/.test(key)) {
      throw new LadingError('ERR_LADING_INGEST_KEY', `not a key of an ingest: ${JSON.stringify(key)}`);
    }
    return join(this.#ingests, key);
  }
}

async function names(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' || errorCode(error) === 'ENOTDIR') return [];
    throw error;
  }
}

function missing(digest: Digest, cause?: unknown): LadingError {
  return new LadingError('ERR_LADING_BLOB_MISSING', `blob ${digest} is not in the store`, { cause, data: { digest } });
}
