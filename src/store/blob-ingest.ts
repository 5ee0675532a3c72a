import { createHash } from 'node:crypto';
import {
  chmodSync,
  closeSync,
  fchmodSync,
  fstatSync,
  ftruncateSync,
  openSync,
  read,
  renameSync,
  rmdirSync,
  writev,
  writevSync,
} from 'node:fs';
import { rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { crashPoint } from '../lib/crash-point.ts';
import { errorCode, LadingError } from '../lib/errors.ts';
import { type Digest, type DigestAlgorithm, Digester, digestAlgorithm } from '../oci/digest.ts';
import { diskError, makeFolder, sizeOf, syncDescriptor, syncFolder } from './disk.ts';
import { type FolderLock, type FolderLockOptions, lockFolder } from './folder-lock.ts';
import { digestMismatch, sizeMismatch } from './wrong-content.ts';

/**
 * A blob that is being written, by one writer at a time. Its bytes outlive the writer: who opens the same key later
 * goes on where they end. They become visible as a blob only by `commit`.
 */
export interface BlobIngest {
  readonly key: string;
  /** Where the bytes are until `commit`, for who wants to read them as they come. */
  readonly dataFile: string;
  /** Bytes taken in so far. */
  readonly offset: number;
  /**
   * Takes bytes in, in order. The chunk belongs to the ingest from now on: do not write into its memory.
   * @throws LadingError `ERR_LADING_SIZE_MISMATCH` beyond `maxBytes`, `ERR_LADING_DISK_FULL`; the data is dropped then
   */
  append(chunk: Uint8Array): Promise<void>;
  /** Hands everything to the kernel: from then on it outlives a kill of this process. */
  flush(): Promise<void>;
  /** Forgets all bytes and starts at offset 0. */
  restart(): Promise<void>;
  /**
   * Verifies, writes to stable storage and publishes. A blob that is there already is success. Ends the ingest.
   * @throws LadingError `ERR_LADING_DIGEST_MISMATCH`, `ERR_LADING_SIZE_MISMATCH`: nothing is published, the data is dropped
   */
  commit(expected: { digest: Digest; size?: number }): Promise<{ digest: Digest; size: number }>;
  /** Ends the ingest and keeps its bytes for the next who opens the key. */
  pause(): Promise<void>;
  /** Ends the ingest and drops its bytes. */
  discard(): Promise<void>;
}

export interface IngestOptions extends FolderLockOptions {
  /** Never more bytes than this; data of an earlier writer that is longer is dropped. */
  readonly maxBytes?: number | undefined;
  /** What the bytes are hashed with while they come; another algorithm at `commit` costs reading them again. */
  readonly algorithm?: DigestAlgorithm | undefined;
  /** Told of each chunk once the kernel has its bytes: nothing here uses its memory any more. */
  readonly onWritten?: ((chunk: Uint8Array) => void) | undefined;
  /** Told how many bytes of the file can be read, whenever there are more. */
  readonly onGrown?: ((bytes: number) => void) | undefined;
}

/**
 * Of one write, but for the last: handing each chunk of the network to the kernel by itself cost as much as hashing it,
 * and with 128 KiB a pull of 250 MB took 2 % more of the processor. 1 MiB gains nothing more.
 */
const largeWriteBytes = 256 * 1024;
/** A kill loses what is not written: at most this, or a quarter of what its process had taken in. */
const smallWriteBytes = 64 * 1024;
/** What waits while a write is under way is written at once, and no more than this waits: the disk is the bottleneck then. */
const maxWaitingBytes = 512 * 1024;
/** Of one read while hashing what is on disk already. */
const readBytes = 1024 * 1024;

/** What takes long leaves the thread; a call that does not costs ten times as much there as here. */
const readDescriptor = promisify(read);
const writeDescriptor = promisify(writev);

/**
 * A write that the memory of the system takes is done by the thread that asks: to wake another one costs more, a copy of
 * 144 MB took 6 % more of the processor so. One that took longer than this met the disk: for a while others wait for it.
 */
const quickWriteMs = 5;
const slowDiskMs = 10_000;
let slowUntilMs = 0;

async function writeChunks(fd: number, chunks: readonly Uint8Array[]): Promise<number> {
  const startedAtMs = performance.now();
  if (startedAtMs < slowUntilMs) return (await writeDescriptor(fd, chunks)).bytesWritten;
  const bytesWritten = writevSync(fd, chunks);
  const endedAtMs = performance.now();
  if (endedAtMs - startedAtMs > quickWriteMs) slowUntilMs = endedAtMs + slowDiskMs;
  return bytesWritten;
}

export class FileIngest implements BlobIngest {
  readonly key: string;
  readonly #folder: string;
  readonly #fd: number;
  readonly #lock: FolderLock;
  readonly #options: IngestOptions;
  readonly #blobPath: (digest: Digest) => string;
  #digester: Digester;
  #offset = 0;
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #takenBytes = 0;
  #writtenBytes = 0;
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;
  #ended = false;

  private constructor(key: string, folder: string, fd: number, lock: FolderLock, to: Target) {
    this.key = key;
    this.#folder = folder;
    this.#fd = fd;
    this.#lock = lock;
    this.#options = to.options;
    this.#blobPath = to.blobPath;
    this.#digester = new Digester(to.options.algorithm);
  }

  /** @returns undefined if the key is busy and `whenBusy` is `give-up` */
  static async open(key: string, folder: string, to: Target): Promise<FileIngest | undefined> {
    try {
      const lock = await lockFolder(folder, to.options);
      if (!lock) return undefined;
      let fd: number | undefined;
      try {
        fd = openData(join(folder, 'data'));
        const ingest = new FileIngest(key, folder, fd, lock, to);
        await ingest.#takeUp();
        crashPoint('ingest-opened');
        return ingest;
      } catch (error) {
        if (fd !== undefined) closeSync(fd);
        else removeIfEmpty(folder);
        await lock.release();
        throw error;
      }
    } catch (error) {
      throw diskError(error, `open ingest ${key}`, folder);
    }
  }

  get offset(): number {
    return this.#offset;
  }

  get dataFile(): string {
    return join(this.#folder, 'data');
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.#assertOpen();
    const { maxBytes } = this.#options;
    if (maxBytes !== undefined && this.#offset + chunk.byteLength > maxBytes) {
      const size = this.#offset + chunk.byteLength;
      await this.discard();
      throw sizeMismatch(this.key, maxBytes, `at least ${size}`);
    }
    this.#digester.update(chunk);
    this.#offset += chunk.byteLength;
    this.#waiting.push(chunk);
    this.#waitingBytes += chunk.byteLength;
    this.#takenBytes += chunk.byteLength;
    const worthWriting = Math.min(largeWriteBytes, Math.max(smallWriteBytes, this.#takenBytes / 4));
    if (this.#waitingBytes >= (this.#isWriting ? maxWaitingBytes : worthWriting)) await this.#startWriting();
  }

  async flush(): Promise<void> {
    this.#assertOpen();
    await this.#startWriting();
    await this.#orDrop(this.#writing);
  }

  async restart(): Promise<void> {
    await this.flush();
    ftruncateSync(this.#fd);
    this.#digester = new Digester(this.#options.algorithm);
    this.#offset = 0;
    this.#writtenBytes = 0;
  }

  async commit(expected: { digest: Digest; size?: number }): Promise<{ digest: Digest; size: number }> {
    await this.flush();
    const { digest } = expected;
    const size = this.#offset;
    if (expected.size !== undefined && expected.size !== size) {
      await this.discard();
      throw sizeMismatch(digest, expected.size, String(size));
    }
    const actual = await this.#digest(digestAlgorithm(digest));
    if (actual !== digest) {
      await this.discard();
      throw digestMismatch(digest, actual, size);
    }
    await this.#orDrop(this.#publish(this.#blobPath(digest), size));
    return { digest, size };
  }

  async pause(): Promise<void> {
    if (this.#ended) return;
    await this.flush();
    await this.#end();
  }

  async discard(): Promise<void> {
    if (this.#ended) return;
    this.#waiting = [];
    await this.#writing.catch(() => undefined);
    await rm(this.#folder, { recursive: true, force: true });
    await this.#end();
  }

  /** Hashes what an earlier writer left. */
  async #takeUp(): Promise<void> {
    const { size } = fstatSync(this.#fd);
    if (size === 0) return;
    const { maxBytes, signal } = this.#options;
    if (maxBytes !== undefined && size > maxBytes) {
      ftruncateSync(this.#fd);
      return;
    }
    const buffer = Buffer.allocUnsafe(Math.min(readBytes, size));
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await readDescriptor(this.#fd, buffer, 0, buffer.byteLength, this.#digester.size);
      if (bytesRead === 0) break;
      this.#digester.update(buffer.subarray(0, bytesRead));
    }
    this.#offset = this.#digester.size;
    this.#grown(this.#offset);
  }

  /** Waits for the write that is under way and begins the next one, which runs beside the network and the hash. */
  async #startWriting(): Promise<void> {
    await this.#orDrop(this.#writing);
    const chunks = this.#waiting;
    this.#waiting = [];
    this.#waitingBytes = 0;
    if (chunks.length === 0) return;
    this.#writing = this.#write(chunks);
    this.#writing.catch(() => undefined);
  }

  async #write(chunks: Uint8Array[]): Promise<void> {
    this.#isWriting = true;
    try {
      for (let rest = chunks; rest.length > 0; ) {
        const bytesWritten = await writeChunks(this.#fd, rest);
        rest = after(rest, bytesWritten);
        this.#grown(this.#writtenBytes + bytesWritten);
      }
      if (this.#options.onWritten) chunks.forEach(this.#options.onWritten);
    } finally {
      this.#isWriting = false;
    }
    crashPoint('ingest-written');
  }

  #grown(bytes: number): void {
    this.#writtenBytes = bytes;
    this.#options.onGrown?.(bytes);
  }

  async #digest(algorithm: DigestAlgorithm): Promise<Digest> {
    if (algorithm === (this.#options.algorithm ?? 'sha256')) return this.#digester.digest();
    const hash = createHash(algorithm);
    const buffer = Buffer.allocUnsafe(readBytes);
    for (let position = 0; ; ) {
      const { bytesRead } = await readDescriptor(this.#fd, buffer, 0, buffer.byteLength, position);
      if (bytesRead === 0) break;
      hash.update(buffer.subarray(0, bytesRead));
      position += bytesRead;
    }
    return `${algorithm}:${hash.digest('hex')}` as Digest;
  }

  async #publish(target: string, size: number): Promise<void> {
    const isThere = sizeOf(target) === size;
    if (!isThere) {
      crashPoint('blob-verified');
      fchmodSync(this.#fd, 0o444);
      await syncDescriptor(this.#fd);
      crashPoint('blob-synced');
      await makeFolder(dirname(target));
      renameSync(join(this.#folder, 'data'), target);
      crashPoint('blob-renamed');
    }
    await syncFolder(dirname(target));
    if (isThere) await rm(this.#folder, { recursive: true, force: true });
    else rmdirSync(this.#folder);
    crashPoint('blob-published');
    await this.#end();
  }

  /** A write that failed leaves a file of unknown content: it gives its space back and is fetched anew. */
  async #orDrop(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      const clear = diskError(error, `store ${this.key}`, this.#folder, this.#options.maxBytes ?? this.#offset);
      await this.discard();
      throw clear;
    }
  }

  async #end(): Promise<void> {
    this.#ended = true;
    closeSync(this.#fd);
    await this.#lock.release();
  }

  #assertOpen(): void {
    if (this.#ended) throw new LadingError('ERR_LADING_INGEST_ENDED', `ingest ${this.key} has ended`);
  }
}

interface Target {
  readonly options: IngestOptions;
  readonly blobPath: (digest: Digest) => string;
}

function after(chunks: Uint8Array[], bytes: number): Uint8Array[] {
  let left = bytes;
  let index = 0;
  while (index < chunks.length && left >= chunks[index]!.byteLength) {
    left -= chunks[index]!.byteLength;
    index += 1;
  }
  if (left === 0) return chunks.slice(index);
  return [chunks[index]!.subarray(left), ...chunks.slice(index + 1)];
}

function removeIfEmpty(folder: string): void {
  try {
    rmdirSync(folder);
  } catch {}
}

/** A process that died between making the file read-only and giving it its name leaves one that only root may write. */
function openData(path: string): number {
  try {
    return openSync(path, 'a+');
  } catch (error) {
    if (errorCode(error) !== 'EACCES') throw error;
    chmodSync(path, 0o600);
    return openSync(path, 'a+');
  }
}
