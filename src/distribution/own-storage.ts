import { open } from 'node:fs/promises';
import type { Digest } from '../oci/digest.ts';
import { BlobStore } from '../store/index.ts';
import { Metadata } from './metadata.ts';
import type { Page, ReferrerEntry, ReferrerFilter, Storage, StoredBlob, StoredManifest } from './storage.ts';

/** The registry's own folder, the one storage that can be written to: by `metadata` and `blobs`. */
export class OwnStorage implements Storage {
  readonly metadata: Metadata;
  readonly blobs: BlobStore;

  /** @throws LadingError as `Metadata` */
  constructor(root: string, options: { create?: boolean; now?: () => number } = {}) {
    this.metadata = new Metadata(root, options);
    this.blobs = new BlobStore(root);
  }

  repositories(page: Page): string[] {
    return this.metadata.repositories(page);
  }

  tags(repository: string, page: Page): string[] | undefined {
    return this.metadata.hasRepository(repository) ? this.metadata.tags(repository, page) : undefined;
  }

  manifestByTag(repository: string, tag: string): StoredManifest | undefined {
    return this.metadata.manifestByTag(repository, tag);
  }

  manifestByDigest(repository: string, digest: Digest): StoredManifest | undefined {
    return this.metadata.manifestByDigest(repository, digest);
  }

  manifestBytes(repository: string, digest: Digest): Uint8Array {
    return this.metadata.manifestBytes(repository, digest);
  }

  /** A file that somebody removed is "not here" rather than a fault: the next push of it then brings it back. */
  async blob(repository: string, digest: Digest): Promise<StoredBlob | undefined> {
    const size = this.metadata.blobSize(repository, digest);
    if (size === undefined || (await this.blobs.size(digest)) !== size) return undefined;
    return { size, open: () => open(this.blobs.path(digest)) };
  }

  referrers(repository: string, subject: Digest, filter: ReferrerFilter): Iterable<ReferrerEntry> {
    return this.metadata.referrers(repository, subject, filter);
  }

  close(): void {
    this.metadata.close();
  }
}
