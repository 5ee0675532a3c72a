import { createHash } from 'node:crypto';
import { LadingError } from '../lib/errors.ts';

/**
 * A content digest, `algorithm:hex`, that has been parsed: the algorithm is known, the hex has its length and is
 * lower case.
 * @see https://github.com/opencontainers/image-spec/blob/main/descriptor.md#digests
 */
export type Digest = string & { readonly [digestBrand]: true };
declare const digestBrand: unique symbol;

export type DigestAlgorithm = 'sha256' | 'sha384' | 'sha512';

const hexLengths: Readonly<Record<string, number>> = { sha256: 64, sha384: 96, sha512: 128 };

/** @throws LadingError `ERR_LADING_DIGEST_UNSUPPORTED`, `…_INVALID_LENGTH` or `…_INVALID_FORMAT` */
export function parseDigest(text: string): Digest {
  const match = /^([A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*):([0-9a-fA-F]*)$/.exec(text);
  if (!match) throw digestError('INVALID_FORMAT', 'invalid checksum digest format', text);
  const [, algorithm, hex] = match as unknown as [string, string, string];
  const length = hexLengths[algorithm];
  if (length === undefined) throw digestError('UNSUPPORTED', 'unsupported digest algorithm', text);
  if (hex.length !== length) throw digestError('INVALID_LENGTH', 'invalid checksum digest length', text);
  if (hex !== hex.toLowerCase()) throw digestError('INVALID_FORMAT', 'invalid checksum digest format', text);
  return text as Digest;
}

export function isDigest(text: string): text is Digest {
  try {
    parseDigest(text);
    return true;
  } catch {
    return false;
  }
}

export function digestAlgorithm(digest: Digest): DigestAlgorithm {
  return digest.slice(0, digest.indexOf(':')) as DigestAlgorithm;
}

export function digestHex(digest: Digest): string {
  return digest.slice(digest.indexOf(':') + 1);
}

/** The digest of bytes that are in memory. */
export function digestOf(bytes: Uint8Array | string, algorithm: DigestAlgorithm = 'sha256'): Digest {
  return `${algorithm}:${createHash(algorithm).update(bytes).digest('hex')}` as Digest;
}

/** Hashes and counts bytes as they stream by. */
export class Digester {
  readonly #algorithm: DigestAlgorithm;
  readonly #hash;
  size = 0;

  constructor(algorithm: DigestAlgorithm = 'sha256') {
    this.#algorithm = algorithm;
    this.#hash = createHash(algorithm);
  }

  update(chunk: Uint8Array): void {
    this.#hash.update(chunk);
    this.size += chunk.byteLength;
  }

  /** Ends the hash; call once. */
  digest(): Digest {
    return `${this.#algorithm}:${this.#hash.digest('hex')}` as Digest;
  }
}

function digestError(kind: 'UNSUPPORTED' | 'INVALID_LENGTH' | 'INVALID_FORMAT', message: string, text: string) {
  return new LadingError(`ERR_LADING_DIGEST_${kind}`, `${message}: ${JSON.stringify(text)}`, {
    hint: 'A digest looks like sha256: followed by 64 lower-case hex digits.',
  });
}
