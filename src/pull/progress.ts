import type { Digest } from '../oci/index.ts';

/** What happens in a pull, as it happens. */
export type PullProgress = LayerProgress | ImageProgress;

export interface LayerProgress {
  /** Digest of the layer's blob. */
  readonly layer: Digest;
  /** Bytes of the blob. */
  readonly size: number;
  /** `exists`: unpacked before this pull. */
  readonly state: 'waiting' | 'downloading' | 'verifying' | 'unpacking' | 'done' | 'exists';
  /** Bytes of the blob that are here; while unpacking, those that are unpacked. */
  readonly bytes: number;
}

export interface ImageProgress {
  readonly image: Digest;
  /** The image is complete and its name means it. */
  readonly state: 'published';
}
