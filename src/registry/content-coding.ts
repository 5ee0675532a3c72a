import type { Readable } from 'node:stream';
import { type Digest, digestAlgorithm, digestOf } from '../oci/digest.ts';

/**
 * Registries are asked for bytes as they are stored. Where a server or a proxy compresses them all the same, this
 * undoes it.
 * @see registry.md 8.2
 */

interface Decoder {
  decode(bytes: Uint8Array, options: { maxOutputLength: number }): Buffer;
  stream(): NodeJS.ReadWriteStream & Readable;
}

/** Hardly ever needed, and takes 2 ms to load. */
const zlib = () => process.getBuiltinModule('node:zlib');

const gzip: Decoder = {
  decode: (bytes, options) => zlib().gunzipSync(bytes, options),
  stream: () => zlib().createGunzip(),
};
const decoders: Readonly<Record<string, Decoder>> = {
  gzip,
  'x-gzip': gzip,
  deflate: {
    decode: (bytes, options) => zlib().inflateSync(bytes, options),
    stream: () => zlib().createInflate(),
  },
  zstd: {
    decode: (bytes, options) => zlib().zstdDecompressSync(bytes, options),
    stream: () => zlib().createZstdDecompress(),
  },
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
    return coding === undefined ? undefined : decoders[coding]?.decode(received, { maxOutputLength: maxBytes });
  } catch {
    return undefined;
  }
}

/** Decodes a stream of one of the codings. */
export function decoderFor(coding: string): NodeJS.ReadWriteStream & Readable {
  return decoders[coding]!.stream();
}
