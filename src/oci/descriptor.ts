import type { Digest } from './digest.ts';
import type { Platform } from './platform.ts';

/**
 * Points to content: what it is, which bytes, how many.
 * @see https://github.com/opencontainers/image-spec/blob/main/descriptor.md
 */
export interface Descriptor {
  readonly mediaType: string;
  readonly digest: Digest;
  /** Bytes. */
  readonly size: number;
  readonly urls?: readonly string[];
  readonly annotations?: Readonly<Record<string, string>>;
  /** Base64 of the whole content; only a hint, verified before use. */
  readonly data?: string;
  readonly artifactType?: string;
  /** Entries of an index only. */
  readonly platform?: Platform;
}
