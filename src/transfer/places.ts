import type { Descriptor, Digest, Reference } from '../oci/index.ts';

/**
 * Places where images are: registries, OCI layouts, archives, nodes. Each of them is read or written through these
 * capabilities, so that every move of an image is the same copy between two of them.
 */

export interface TransferOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Gives out indexes and manifests. */
export interface ManifestSource {
  /**
   * The exact bytes, verified.
   * @throws LadingError `ERR_LADING_ARCHIVE_INCOMPLETE`, `ERR_LADING_DIGEST_MISMATCH`; RegistryError
   */
  manifest(digest: Digest, options: TransferOptions): Promise<Uint8Array>;
}

/** Gives out configurations and layers. */
export interface BlobSource {
  /** Chunks of blobs belong to whoever reads them, who may give their memory back; they are not kept here. */
  readonly givesChunksAway?: true;
  /** The bytes from `start` on, not verified; who keeps them hashes them. */
  blob(descriptor: Descriptor, options: TransferOptions & { start?: number }): AsyncIterable<Uint8Array>;
  /**
   * To be told that what `blob` gave last is not what the descriptor says. Returns whether it is worth another try: then
   * the next `blob` asks somebody else.
   */
  reject?(descriptor: Descriptor): boolean;
}

export type Repository = Pick<Reference, 'registry' | 'repository'>;

/** One image in a place. */
export interface ImageSource extends ManifestSource, BlobSource {
  /** For messages: `archive backup.tar`. */
  readonly place: string;
  /** What the image is there now: an index or a manifest. */
  resolve(options: TransferOptions): Promise<Descriptor>;
  /** Repositories on registries that have the image, as far as it is known. */
  readonly repositories: readonly Repository[];
}

/** A blob that is on its way. */
export interface OfferedBlob {
  readonly descriptor: Descriptor;
  /** Its content, verified while it is read; called only where it is needed, again where it must be sent again. */
  readonly open: () => AsyncIterable<Uint8Array>;
  /** The same without a check, for who hashes it anyway. */
  readonly openUnverified: () => AsyncIterable<Uint8Array>;
  /** To be told of each chunk that nobody uses any more. */
  readonly free: (chunk: Uint8Array) => void;
  /** Where it comes from, for messages. */
  readonly place: string;
  /** Repositories that may have it. */
  readonly repositories: readonly Repository[];
}

/** Takes in what images are made of. */
export interface ImageTarget {
  /**
   * Called again where content that turned out wrong can be had from somewhere else.
   * @returns whether content was written; false if the place has it
   */
  putBlob(blob: OfferedBlob, options: TransferOptions): Promise<boolean>;
  /** A document that an index lists. Its blobs are there. */
  putManifest(descriptor: Descriptor, bytes: Uint8Array, options: TransferOptions): Promise<void>;
  /** The image itself; everything that it names is there. */
  putImage(image: TakenImage, options: TransferOptions): Promise<void>;
}

export interface TakenImage {
  readonly descriptor: Descriptor;
  readonly bytes: Uint8Array;
  /** What it shall be called there, in a place that keeps any number of images: names, or in a layout any text. */
  readonly labels: readonly string[];
}

/** A place of files: nothing that was put there is visible before `commit`. */
export interface FileTarget extends ImageTarget {
  commit(): Promise<void>;
  /** Ends it; without `commit` before, nothing has happened. */
  close(): Promise<void>;
}
