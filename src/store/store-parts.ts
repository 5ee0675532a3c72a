import type { BlobStore } from './blob-store.ts';
import type { KeepCompressedLayers } from './compressed-layers.ts';
import type { Database } from './database.ts';
import type { FixUps } from './fix-ups.ts';
import type { Images } from './images.ts';
import type { Layers } from './layers.ts';
import type { Leases } from './leases.ts';
import type { Names } from './names.ts';
import type { Trash } from './trash.ts';

/** What the jobs over a whole store work on. */
export interface StoreParts {
  readonly root: string;
  readonly unpacks: boolean;
  /** `always` where nothing is unpacked. */
  readonly keepCompressedLayers: KeepCompressedLayers;
  readonly blobs: BlobStore;
  readonly names: Names;
  readonly images: Images;
  readonly layers: Layers;
  readonly fixUps: FixUps;
  readonly leases: Leases;
  readonly database: Database;
  readonly trash: Trash;
  /** Milliseconds since 1970. */
  readonly now: () => number;
}
