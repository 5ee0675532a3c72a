import { readdir, readFile, rename, rmdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errorCode, LadingError } from '../lib/errors.ts';
import { type Descriptor, digestAlgorithm, digestHex, mediaTypes } from '../oci/index.ts';
import { parseJsonDocument } from '../oci/json-document.ts';
import type { BlobIngest } from '../store/blob-ingest.ts';
import { BlobStore } from '../store/blob-store.ts';
import { diskError } from '../store/disk.ts';
import { invalid } from './errors.ts';
import { type LayoutEntry, layoutEntries, refNameAnnotation } from './layout-entries.ts';
import type { FileTarget, OfferedBlob, TakenImage, TransferOptions } from './places.ts';
import { begun, collect } from './verified.ts';

/**
 * An OCI layout in a folder, made if it is not there. What it has already stays; an image that had the same label loses
 * the label.
 * @throws LadingError `ERR_LADING_ARCHIVE_INVALID` for a folder with other things in it
 */
export async function openLayoutTarget(folder: string): Promise<FileTarget> {
  const there = await readdir(folder).catch((error: unknown): string[] => {
    if (errorCode(error) === 'ENOENT') return [];
    throw error;
  });
  // What a killed copy may have left.
  const own = /^(?:blobs|ingest|oci-layout\.\d+|index\.json\.\d+)$/;
  if (!there.includes('oci-layout') && there.some((name) => !own.test(name))) {
    throw invalid(`folder ${folder}`, 'it holds other things than an OCI layout');
  }
  const blobs = new BlobStore(folder);
  blobs.removeAbandonedPuts();
  return new LayoutTarget(folder, blobs);
}

/** Smaller blobs are stored in one go, from memory: that takes a third of the time, most of which is for the calls. */
const maxGatheredBytes = 1024 * 1024;

class LayoutTarget implements FileTarget {
  readonly #folder: string;
  readonly #blobs: BlobStore;
  readonly #entries: LayoutEntry[] = [];

  constructor(folder: string, blobs: BlobStore) {
    this.#folder = folder;
    this.#blobs = blobs;
  }

  async putBlob(blob: OfferedBlob, options: TransferOptions): Promise<boolean> {
    const { digest, size } = blob.descriptor;
    if (this.#blobs.sizeNow(digest) === size) return false;
    try {
      await (size <= maxGatheredBytes ? this.#gather(blob) : this.#stream(blob, options));
      return true;
    } catch (error) {
      throw isMismatch(error) ? namingPlace(error, blob.place) : error;
    }
  }

  async #gather({ descriptor: { digest, size }, openUnverified }: OfferedBlob): Promise<void> {
    const bytes = await collect(openUnverified(), { enoughBytes: size + 1 });
    await this.#blobs.put(bytes, { digest, size }, { syncName: 'later' });
  }

  async #stream({ descriptor, openUnverified, free }: OfferedBlob, { signal }: TransferOptions): Promise<void> {
    const { digest, size } = descriptor;
    const algorithm = digestAlgorithm(digest);
    const key = `copy-${algorithm}-${digestHex(digest)}`;
    const options = { maxBytes: size, algorithm, signal, onWritten: free };
    const content = begun(openUnverified());
    let ingest: BlobIngest | undefined;
    try {
      ingest = await this.#blobs.openIngest(key, options);
      if (ingest.offset > 0) await ingest.restart();
      for await (const chunk of content) await ingest.append(chunk);
      await ingest.commit({ digest, size });
    } catch (error) {
      content.giveUp();
      await ingest?.discard();
      throw error;
    }
  }

  async putManifest({ digest }: Descriptor, bytes: Uint8Array): Promise<void> {
    await this.#blobs.put(bytes, { digest }, { syncName: 'later' });
  }

  async putImage({ descriptor, bytes, labels }: TakenImage): Promise<void> {
    await this.putManifest(descriptor, bytes);
    const { mediaType, digest, size } = descriptor;
    this.#entries.push(...layoutEntries({ mediaType, digest, size }, labels));
  }

  /** What the index names has its names on stable storage before. */
  async commit(): Promise<void> {
    await this.#blobs.syncNames();
    // The ingest is a lock: another process may be adding its own entry.
    const lock = await this.#blobs.openIngest('index');
    try {
      const indexFile = join(this.#folder, 'index.json');
      const { manifests: before, ...rest } = await readIndex(indexFile);
      const kept = before.filter((entry) => !this.#entries.some((own) => replaces(own, entry)));
      await replaceFile(join(this.#folder, 'oci-layout'), JSON.stringify({ imageLayoutVersion: '1.0.0' }));
      await replaceFile(indexFile, JSON.stringify({ ...rest, manifests: [...kept, ...this.#entries] }));
    } finally {
      await lock.discard();
    }
  }

  async close(): Promise<void> {
    await rmdir(join(this.#folder, 'ingest')).catch(() => {});
  }
}

function isMismatch(error: unknown): error is LadingError {
  return ['ERR_LADING_DIGEST_MISMATCH', 'ERR_LADING_SIZE_MISMATCH'].includes(errorCode(error) ?? '');
}

function namingPlace({ code, message, data, cause }: LadingError, place: string): LadingError {
  const hint = 'The content is damaged, or was changed; nothing of it was kept.';
  return new LadingError(code, `${place}: ${message}`, { hint, data, cause });
}

/** The label belongs to one image, and an image without a label is listed once. */
function replaces(own: LayoutEntry, entry: LayoutEntry): boolean {
  const label = own.annotations?.[refNameAnnotation];
  const other = entry.annotations?.[refNameAnnotation];
  return label === undefined ? other === undefined && entry.digest === own.digest : other === label;
}

async function readIndex(file: string): Promise<{ manifests: readonly LayoutEntry[] }> {
  const empty = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: [] };
  const bytes = await readFile(file).catch((error: unknown) => {
    if (errorCode(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (!bytes) return empty;
  const index = parseJsonDocument(bytes, (problem) => {
    throw invalid(file, problem);
  });
  const members = index.map(({ value }) => value);
  const manifests = index.member('manifests').list((entry) => entry.map(({ value }) => value));
  return { ...empty, ...members, manifests: manifests as unknown as readonly LayoutEntry[] };
}

async function replaceFile(path: string, text: string): Promise<void> {
  const folder = dirname(path);
  const unfinished = `${path}.${process.pid}`;
  try {
    await writeFile(unfinished, text, { flush: true });
    await rename(unfinished, path);
  } catch (error) {
    throw diskError(error, `write ${path}`, folder);
  }
}
