import type { Readable } from 'node:stream';
import * as zlib from 'node:zlib';
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';

/**
 * Registries are asked for bytes as they are stored. Where a server or a proxy compresses them all the same, this
 * undoes it.
 * @see registry.md 8.2
 */

const decoders: Readonly<Record<string, (bytes: Uint8Array, options: { maxOutputLength: number }) => Buffer>> = {
  gzip: zlib.gunzipSync,
  'x-gzip': zlib.gunzipSync,
  deflate: zlib.inflateSync,
  zstd: zlib.zstdDecompressSync,
};

const streamDecoders: Readonly<Record<string, () => NodeJS.ReadWriteStream & Readable>> = {
  gzip: () => zlib.createGunzip(),
  'x-gzip': () => zlib.createGunzip(),
  deflate: () => zlib.createInflate(),
  zstd: () => zlib.createZstdDecompress(),
};

/** Undefined when there is none, or none that can be undone. */
export function codingOf(header: string | undefined): string | undefined {
  const coding = header?.trim().toLowerCase();
  return coding !== undefined && Object.hasOwn(decoders, coding) ? coding : undefined;
}

/** The bytes with the expected digest: as received, else decoded; undefined when neither has it. */
export function bytesWithDigest(
  received: Uint8Array,
  digest: Digest,
  coding: string | undefined,
  maxBytes: number,
): Uint8Array | undefined {
  const algorithm = digestAlgorithm(digest);
  if (digestOf(received, algorithm) === digest) return received;
  const decoded = decodedBytes(received, coding, maxBytes);
  return decoded && digestOf(decoded, algorithm) === digest ? decoded : undefined;
}

/** Undefined when there is no such coding, the bytes are not in it, or they decode to more than `maxBytes`. */
export function decodedBytes(
  received: Uint8Array,
  coding: string | undefined,
  maxBytes: number,
): Uint8Array | undefined {
  try {
    return coding === undefined ? undefined : decoders[coding]?.(received, { maxOutputLength: maxBytes });
  } catch {
    return undefined;
  }
}

/** Decodes a stream of one of the codings. */
export function decoderFor(coding: string): NodeJS.ReadWriteStream & Readable {
  return streamDecoders[coding]!();
}
