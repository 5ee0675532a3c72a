import type { FileHandle } from 'node:fs/promises';
import type { Digest } from '../oci/digest.ts';

/**
 * What a registry serves: repositories with tags, manifests and blobs. All that a storage names is complete and has its
 * digest. It can change at any time; what has been opened can be read to its end. Names and tags are in bytewise order.
 */
export interface Storage {
  repositories(page: Page): Awaitable<string[]>;
  /** @returns undefined if there is no such repository */
  tags(repository: string, page: Page): Awaitable<string[] | undefined>;
  manifestByTag(repository: string, tag: string): Awaitable<StoredManifest | undefined>;
  manifestByDigest(repository: string, digest: Digest): Awaitable<StoredManifest | undefined>;
  /** @throws if the repository does not have it any more */
  manifestBytes(repository: string, digest: Digest): Awaitable<Uint8Array>;
  blob(repository: string, digest: Digest): Awaitable<StoredBlob | undefined>;
  /** Referrers of the subject, which need not exist, in the order of their digests. */
  referrers(repository: string, subject: Digest, filter: ReferrerFilter): Awaitable<Iterable<ReferrerEntry>>;
  /**
   * The repository that a mirror's client means who also says from which registry; undefined if this storage does not
   * know registries apart.
   * @see registry.md 5.3
   */
  repositoryOf?(registry: string, repository: string): string;
  close(): Awaitable<void>;
}

export type Awaitable<T> = T | Promise<T>;

/** At most `limit` names after `last`, which need not exist. */
export interface Page {
  readonly last: string;
  readonly limit: number;
}

export interface StoredManifest {
  readonly digest: Digest;
  readonly mediaType: string;
  /** Bytes. */
  readonly size: number;
}

export interface StoredBlob {
  /** Bytes. */
  readonly size: number;
  open(): Promise<ByteSource>;
}

/** A file that is open for reading. */
export type ByteSource = Pick<FileHandle, 'read' | 'close'>;

export interface ReferrerFilter {
  /** Only digests after this one. */
  readonly last: string;
  readonly artifactType?: string | undefined;
}

export interface ReferrerEntry {
  readonly digest: string;
  /** The entry of the list, as JSON. */
  readonly descriptor: string;
}
