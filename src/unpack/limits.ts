import { statfsSync } from 'node:fs';
import { LayerError } from './errors.ts';

/** What one layer may cost. Names as in the layer corpus; all in bytes but the counts. */
export interface UnpackLimits {
  /** Uncompressed bytes of one layer, those after the end marker included (L1). */
  readonly maxLayerSize: number;
  /** Bytes of one entry, holes included (L2). */
  readonly maxEntrySize: number;
  /** Entries of one layer that make something, whiteouts included (L3). */
  readonly maxEntries: number;
  /** One extension header (L4). */
  readonly maxExtensionHeaderSize: number;
  /** Window that a zstd frame may ask for (L5). */
  readonly maxZstdWindowSize: number;
  /** Free bytes that unpacking leaves on the file system; on a small one a fiftieth of its size at most. */
  readonly reservedBytes: number;
  /** Free inodes that unpacking leaves on the file system; on a small one a fiftieth of them at most. */
  readonly reservedInodes: number;
}

const gibibyte = 2 ** 30;
const mebibyte = 2 ** 20;

export const defaultLimits: UnpackLimits = {
  maxLayerSize: 64 * gibibyte,
  maxEntrySize: 64 * gibibyte,
  maxEntries: 2_000_000,
  // The same as in Go's archive/tar, so that no layer fails here only.
  maxExtensionHeaderSize: mebibyte,
  // zstd's own default (log 27); larger ones only come from --ultra --long.
  maxZstdWindowSize: 128 * mebibyte,
  // Room for the database, logs and the removal of what failed.
  reservedBytes: 64 * mebibyte,
  reservedInodes: 1000,
};

/** Most layers of an image: overlayfs takes no more lower directories (L6). */
export const maxLayers = 500;

/** What a layer may use of the disk that it is unpacked to, measured once at its start. */
export class LayerBudget {
  readonly #limits: UnpackLimits;
  readonly #folder: string;
  readonly #freeBytes: number;
  readonly #freeInodes: number;
  #bytes = 0;
  #entries = 0;
  #inodes = 0;

  constructor(limits: UnpackLimits, targetDir: string) {
    const { blocks, bavail, bsize, files, ffree } = statfsSync(targetDir);
    this.#limits = limits;
    this.#folder = targetDir;
    const freeBytes = Math.max(0, bavail * bsize - Math.min(limits.reservedBytes, (blocks * bsize) / 50));
    const freeInodes = Math.max(0, ffree - Math.min(limits.reservedInodes, files / 50));
    // What has no limit of its own is reported as none at all: bytes of a tmpfs with size=0, inodes of btrfs.
    this.#freeBytes = blocks === 0 ? Number.POSITIVE_INFINITY : freeBytes;
    this.#freeInodes = files === 0 ? Number.POSITIVE_INFINITY : freeInodes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get entries(): number {
    return this.#entries;
  }

  /** Counts decompressed bytes. */
  addBytes(count: number): void {
    this.#bytes += count;
    if (this.#bytes > this.#limits.maxLayerSize) {
      throw new LayerError('too-large', `the layer unpacks to more than ${this.#limits.maxLayerSize} bytes`);
    }
    if (this.#bytes > this.#freeBytes) {
      throw new LayerError(
        'too-large',
        `the layer unpacks to more than the ${Math.floor(this.#freeBytes)} bytes that are free on the disk of ${this.#folder}`,
        {
          hint: 'Free disk space below the store (lading gc), then pull again.',
        },
      );
    }
  }

  addEntry(): void {
    this.#entries += 1;
    if (this.#entries > this.#limits.maxEntries) {
      throw new LayerError('too-large', `the layer has more than ${this.#limits.maxEntries} entries`);
    }
  }

  /** Counts what takes an inode, directories that no entry lists included. */
  addInode(): void {
    this.#inodes += 1;
    if (this.#inodes > this.#freeInodes) {
      throw new LayerError(
        'too-large',
        `the layer needs more than the ${Math.floor(this.#freeInodes)} inodes that are free on the disk of ${this.#folder}`,
        {
          hint: 'Free inodes below the store (lading gc), then pull again.',
        },
      );
    }
  }
}
