import { randomUUID } from 'node:crypto';
import { debugLog } from '../lib/debug.ts';
import { errorCode } from '../lib/errors.ts';
import { freeMemory } from '../lib/free-memory.ts';
import type { Digest, DigestAlgorithm } from '../oci/digest.ts';
import type { BlobIngest, BlobStore } from '../store/index.ts';
import { Refusal } from './errors.ts';
import type { Metadata, NewUpload } from './metadata.ts';
import type { OwnStorage } from './own-storage.ts';

const debug = debugLog('distribution');
/** As long as docker's registry keeps an upload that nobody goes on with. */
const expiryMs = 7 * 24 * 60 * 60 * 1000;
/** What a client has not gone on with for so long does not count as one of its sessions. */
const countedMs = 60 * 60 * 1000;
/** An ingest between two requests keeps its running hash for so long; later its bytes are hashed again from the disk. */
const keepOpenMs = 30_000;

/**
 * Uploads that are under way. They belong to one repository, outlive the server, and are written by one request at a
 * time. What a request has been answered for is with the kernel before.
 */
export class UploadSessions {
  readonly #blobs: BlobStore;
  readonly #metadata: Metadata;
  readonly #maxPerClient: number;
  /** Written by a request right now; undefined while it opens. */
  readonly #inUse = new Map<string, BlobIngest | undefined>();
  readonly #idle = new Map<string, { ingest: BlobIngest; timer: NodeJS.Timeout }>();

  constructor({ blobs, metadata }: OwnStorage, options: { maxPerClient?: number | undefined } = {}) {
    this.#blobs = blobs;
    this.#metadata = metadata;
    this.#maxPerClient = options.maxPerClient ?? Number.POSITIVE_INFINITY;
  }

  /**
   * @returns the id of the new session
   * @throws Refusal `TOOMANYREQUESTS` if the client has too many
   */
  create(upload: NewUpload): string {
    if (this.#metadata.uploadsOf(upload.client, Date.now() - countedMs) >= this.#maxPerClient) {
      const message = `at most ${this.#maxPerClient} uploads are open for one client`;
      throw new Refusal(429, { code: 'TOOMANYREQUESTS', message }, { 'Retry-After': '30' });
    }
    const id = randomUUID();
    this.#metadata.addUpload(id, upload);
    return id;
  }

  /**
   * Bytes taken in so far.
   * @throws Refusal `BLOB_UPLOAD_UNKNOWN`
   */
  async offset(repository: string, id: string): Promise<number> {
    this.#find(repository, id);
    const ingest = this.#inUse.get(id) ?? this.#idle.get(id)?.ingest;
    return ingest?.offset ?? (await this.#blobs.ingestSize(id));
  }

  /**
   * Lets one request write.
   * @throws Refusal `BLOB_UPLOAD_UNKNOWN`, or 416 while another request writes
   */
  async use<T>(repository: string, id: string, write: (ingest: BlobIngest) => Promise<T>): Promise<T> {
    const algorithm = this.#find(repository, id);
    if (this.#inUse.has(id)) throw await this.outOfOrder(repository, id, 'another request is writing to this upload');
    this.#inUse.set(id, undefined);
    try {
      const ingest = this.#takeIdle(id) ?? (await this.#blobs.openIngest(id, { algorithm, onWritten: freeMemory }));
      this.#inUse.set(id, ingest);
      try {
        return await write(ingest);
      } finally {
        await this.#putBack(id, ingest);
      }
    } finally {
      this.#inUse.delete(id);
    }
  }

  /**
   * Makes the upload a blob of its repository, on stable storage when this returns.
   * @throws Refusal `DIGEST_INVALID`, which ends the session too
   */
  async finish(
    repository: string,
    id: string,
    { ingest, digest }: { ingest: BlobIngest; digest: Digest },
  ): Promise<void> {
    try {
      this.#metadata.claimBlob(id, digest);
      const { size } = await ingest.commit({ digest });
      this.#metadata.finishUpload(id, { repository, digest, size });
    } catch (error) {
      if (errorCode(error) !== 'ERR_LADING_DIGEST_MISMATCH') throw error;
      this.#metadata.removeUpload(id);
      const message = `the content does not have the digest ${digest}`;
      throw new Refusal(400, { code: 'DIGEST_INVALID', message, detail: { digest } });
    }
  }

  /**
   * Ends a session and drops its bytes.
   * @throws Refusal `BLOB_UPLOAD_UNKNOWN`, or 416 while a request writes
   */
  async cancel(repository: string, id: string): Promise<void> {
    await this.use(repository, id, (ingest) => this.end(id, ingest));
  }

  /** As `cancel`, by the request that writes. */
  async end(id: string, ingest: BlobIngest): Promise<void> {
    await ingest.discard();
    this.#metadata.removeUpload(id);
  }

  /** Cancels a session unless it has ended already. */
  async drop(repository: string, id: string): Promise<void> {
    if (this.#metadata.uploadAlgorithm(repository, id) !== undefined) await this.cancel(repository, id);
  }

  /** Cancels what nobody has written to for a week before `nowMs`; a dry run only counts. @returns how many */
  async expire(nowMs: number, { dryRun = false } = {}): Promise<number> {
    const untouched = this.#metadata.uploadsUntouchedSince(nowMs - expiryMs).filter(({ id }) => !this.#inUse.has(id));
    if (!dryRun) for (const { id, repository } of untouched) await this.drop(repository, id);
    return untouched.length;
  }

  /** Drops what a kill has left of uploads that nobody can go on with. Call before the first request. */
  async recover(): Promise<void> {
    for (const { id, repository } of this.#metadata.interruptedUploads()) await this.drop(repository, id);
  }

  /** Keeps the bytes of all sessions for the next start. Call when no request is running. */
  async close(): Promise<void> {
    for (const id of [...this.#idle.keys()]) await this.#takeIdle(id)?.pause();
  }

  /** The answer to a chunk that does not follow what is there: it says what is. */
  async outOfOrder(repository: string, id: string, message: string): Promise<Refusal> {
    const headers = sessionHeaders(repository, id, await this.offset(repository, id));
    return new Refusal(416, { code: 'BLOB_UPLOAD_INVALID', message }, headers);
  }

  #find(repository: string, id: string): DigestAlgorithm {
    const algorithm = this.#metadata.uploadAlgorithm(repository, id);
    if (algorithm !== undefined) return algorithm;
    throw new Refusal(404, {
      code: 'BLOB_UPLOAD_UNKNOWN',
      message: 'upload unknown to the repository',
      detail: { id },
    });
  }

  #takeIdle(id: string): BlobIngest | undefined {
    const idle = this.#idle.get(id);
    clearTimeout(idle?.timer);
    this.#idle.delete(id);
    return idle?.ingest;
  }

  async #putBack(id: string, ingest: BlobIngest): Promise<void> {
    try {
      await ingest.flush();
    } catch (error) {
      if (errorCode(error) === 'ERR_LADING_INGEST_ENDED') return;
      throw error;
    }
    this.#metadata.touchUpload(id);
    const pause = () =>
      this.#takeIdle(id)
        ?.pause()
        .catch((error: unknown) => debug('pause upload %s: %s', id, error));
    this.#idle.set(id, { ingest, timer: setTimeout(pause, keepOpenMs).unref() });
  }
}

/** `Range` cannot tell an empty upload from one byte; `0-0` for both is what clients know. */
export function sessionHeaders(repository: string, id: string, offset: number): Record<string, string> {
  return {
    Location: `/v2/${repository}/blobs/uploads/${id}`,
    Range: `0-${Math.max(0, offset - 1)}`,
    'Docker-Upload-UUID': id,
  };
}
