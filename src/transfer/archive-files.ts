import { open } from 'node:fs/promises';
import { posix } from 'node:path';
import { errorCode, LadingError } from '../lib/errors.ts';
import { fileProblem } from '../lib/file-problem.ts';
import { defaultLimits } from '../unpack/limits.ts';
import { typeFlags } from '../unpack/tar-header.ts';
import { type TarEntry, TarReader } from '../unpack/tar-reader.ts';
import { compressionOf, decompressed, foreignCompression, isCompressionFault } from './decompressed.ts';
import { incomplete, invalid } from './errors.ts';
import type { Files } from './files.ts';
import { readRange, Spool } from './spool.ts';

export interface ArchiveInput {
  /** A file, or a stream and what to call it. */
  readonly from: string | { readonly stream: AsyncIterable<Uint8Array>; readonly name: string };
  /** Where the content of a stream or of a compressed archive waits, without a name; it takes as much room. */
  readonly spoolFolder: string;
  readonly signal?: AbortSignal | undefined;
}

/** Far beyond what archives of images have. */
const maxFiles = 100_000;
/** From a link to a link to a file. */
const maxLinks = 8;

/**
 * The files of a tar archive, plain or compressed. Nothing is unpacked under the names that it gives; an archive with
 * a name that leaves its folder is refused all the same.
 * @throws LadingError `ERR_LADING_ARCHIVE_INVALID`, `ERR_LADING_ARCHIVE_UNSAFE`
 */
export async function openArchiveFiles({ from, spoolFolder, signal }: ArchiveInput): Promise<Files> {
  if (typeof from !== 'string') {
    const place = `archive ${from.name}`;
    return spooled(place, from.stream, spoolFolder, signal);
  }
  const place = `archive ${from}`;
  const file = await open(from, 'r').catch((error: unknown) => {
    throw unreadable(from, error);
  });
  let keptOpen = false;
  try {
    const found = await file.stat();
    if (found.isDirectory()) throw unreadable(from, Object.assign(new Error('it is a folder'), { code: 'EISDIR' }));
    const { size } = found;
    // A pipe has no size, and is read once.
    if (!found.isFile()) return await spooled(place, file.createReadStream({ autoClose: false }), spoolFolder, signal);
    const start = Buffer.alloc(4);
    await file.read(start, 0, 4, 0);
    if (compressionOf(start) !== 'none') return await spooled(place, readRange(file, 0, size), spoolFolder, signal);
    const list = await listArchive(place, readRange(file, 0, size), { signal });
    keptOpen = true;
    return archiveFiles(place, list, { read: (at, length) => readRange(file, at, length), close: () => file.close() });
  } finally {
    if (!keptOpen) await file.close();
  }
}

async function spooled(
  place: string,
  content: AsyncIterable<Uint8Array>,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Files> {
  const spool = await Spool.open(folder);
  try {
    const list = await listArchive(place, decompressed(content), { signal, keep: (bytes) => spool.append(bytes) });
    return archiveFiles(place, list, spool);
  } catch (error) {
    await spool.close();
    throw error;
  }
}

interface Content {
  read(start: number, size: number): AsyncIterable<Uint8Array>;
  close(): Promise<void>;
}

interface ListedFile {
  readonly offset: number;
  readonly size: number;
}

/** Names with what they are: a file, or a link to another name. */
type FileList = ReadonlyMap<string, ListedFile | string>;

function archiveFiles(place: string, list: FileList, content: Content): Files {
  const find = (name: string): ListedFile | undefined => {
    let found = list.get(name);
    for (let links = 0; typeof found === 'string' && links < maxLinks; links += 1) found = list.get(found);
    return typeof found === 'string' ? undefined : found;
  };
  return {
    place,
    size: async (name) => find(name)?.size,
    read(name, { start = 0 } = {}) {
      const file = find(name);
      if (!file) throw incomplete(place, `file ${name}`);
      return content.read(file.offset + start, file.size - start);
    },
    close: () => content.close(),
  };
}

async function listArchive(
  place: string,
  content: AsyncIterable<Uint8Array>,
  { signal, keep }: { signal?: AbortSignal | undefined; keep?: (bytes: Uint8Array) => Promise<void> },
): Promise<FileList> {
  const lister = new ArchiveLister(place);
  try {
    let isFirst = true;
    for await (const chunk of content) {
      signal?.throwIfAborted();
      if (isFirst) refuseForeignCompression(place, chunk);
      isFirst = false;
      lister.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
      await keep?.(chunk);
    }
    lister.end();
  } catch (error) {
    throw ownError(error, place);
  }
  if (lister.files.size === 0) throw invalid(place, 'it holds no files');
  return lister.files;
}

function refuseForeignCompression(place: string, start: Uint8Array): void {
  const program = foreignCompression(start);
  if (program === undefined) return;
  throw new LadingError('ERR_LADING_ARCHIVE_INVALID', `${place} cannot be used: it is compressed with ${program}`, {
    hint: `Decompress it first, with ${program} -d: only gzip and zstd are read.`,
  });
}

function unreadable(path: string, cause: unknown): LadingError {
  return new LadingError('ERR_LADING_FILE_UNREADABLE', `cannot read ${path}: ${fileProblem(cause)}`, {
    hint:
      errorCode(cause) === 'EISDIR'
        ? '`oci:FOLDER` is an OCI layout that is not packed.'
        : 'Give the path of an archive that you may read.',
    cause,
  });
}

/** What reading a tar or its compression reports is about a layer; this is an archive. */
function ownError(error: unknown, place: string): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  const isLayerError = error instanceof LadingError && error.code.startsWith('ERR_LADING_LAYER_');
  return isLayerError || isCompressionFault(String(error.code))
    ? invalid(place, `it is no intact tar archive (${error.message})`, error)
    : error;
}

/** Notes where in the archive each file has its content. */
class ArchiveLister {
  readonly files = new Map<string, ListedFile | string>();
  readonly #place: string;
  readonly #reader: TarReader;
  #chunk: Buffer = Buffer.alloc(0);
  /** Of the chunk in the archive. */
  #chunkAt = 0;
  #open: { name: string; size: number; offset: number | undefined } | undefined;

  constructor(place: string) {
    this.#place = place;
    const handler = {
      entry: (entry: TarEntry) => this.#entry(entry),
      data: (bytes: Buffer) => this.#data(bytes),
      end: () => this.#end(),
    };
    this.#reader = new TarReader(handler, defaultLimits);
  }

  write(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#reader.write(chunk);
    this.#chunkAt += chunk.byteLength;
  }

  end(): void {
    this.#reader.end();
  }

  #entry(entry: TarEntry): void {
    const name = this.#inside(Buffer.from(entry.name, 'latin1').toString());
    this.#open = undefined;
    if (this.files.size >= maxFiles) throw invalid(this.#place, `it has more than ${maxFiles} files`);
    if (entry.type === typeFlags.symlink || entry.type === typeFlags.hardlink) {
      const link = Buffer.from(entry.linkName, 'latin1').toString();
      const isRelative = entry.type === typeFlags.symlink && !posix.isAbsolute(link);
      this.files.set(name, this.#inside(isRelative ? posix.join(posix.dirname(name), link) : link));
    } else if (entry.type === typeFlags.file) {
      if (entry.sparse) throw invalid(this.#place, `its file ${name} is sparse`);
      this.#open = { name, size: entry.size, offset: undefined };
    }
  }

  #data(bytes: Buffer): void {
    // The reader gives out parts of the chunk that it was given.
    if (this.#open) this.#open.offset ??= this.#chunkAt + bytes.byteOffset - this.#chunk.byteOffset;
  }

  #end(): void {
    if (!this.#open) return;
    const { name, size, offset = 0 } = this.#open;
    this.files.set(name, { offset, size });
  }

  /** @throws LadingError `ERR_LADING_ARCHIVE_UNSAFE` for a name that is not below the archive's own folder */
  #inside(name: string): string {
    const inside = posix.normalize(name);
    if (!posix.isAbsolute(name) && inside !== '..' && !inside.startsWith('../')) return inside;
    throw new LadingError(
      'ERR_LADING_ARCHIVE_UNSAFE',
      `${this.#place} has an entry that leaves its folder: ${JSON.stringify(name.slice(0, 200))}`,
      { hint: 'No tool writes such an archive; do not trust it.' },
    );
  }
}
