import { LadingError } from '../lib/errors.ts';
import { type Descriptor, type Digest, Digester, digestAlgorithm, digestOf } from '../oci/index.ts';

/**
 * Passes content on and hashes it: never more bytes than the descriptor says, and never the last of them if they have
 * another digest. Whoever receives it cannot have all of it before that shows, and complain first.
 * @param where for messages, as in "archive backup.tar"
 * @throws LadingError `ERR_LADING_DIGEST_MISMATCH`, `ERR_LADING_SIZE_MISMATCH`
 */
export async function* verified(
  content: AsyncIterable<Uint8Array>,
  descriptor: Descriptor,
  where: string,
): AsyncIterable<Uint8Array> {
  const { digest, size } = descriptor;
  const digester = new Digester(digestAlgorithm(digest));
  const check = () => {
    const actual = digester.digest();
    if (actual !== digest) throw digestMismatch(where, digest, actual);
  };
  for await (const chunk of content) {
    if (chunk.byteLength === 0) continue;
    if (digester.size + chunk.byteLength > size)
      throw sizeMismatch(where, digest, `more than the ${size} bytes that its descriptor says`);
    digester.update(chunk);
    if (digester.size === size) check();
    yield chunk;
  }
  requireSize(digester.size, descriptor, where);
  if (size === 0) check();
}

/** @throws LadingError `ERR_LADING_DIGEST_MISMATCH` */
export function verifiedBytes(bytes: Uint8Array, digest: Digest, where: string): Uint8Array {
  const actual = digestOf(bytes, digestAlgorithm(digest));
  if (actual !== digest) throw digestMismatch(where, digest, actual);
  return bytes;
}

/** @throws LadingError `ERR_LADING_SIZE_MISMATCH` */
export function requireSize(actual: number, { digest, size }: Descriptor, where: string): void {
  if (actual !== size) throw sizeMismatch(where, digest, `${actual} bytes, its descriptor says ${size}`);
}

/** All of a small content; ends with the chunk that makes it `enoughBytes`. */
export async function collect(
  content: AsyncIterable<Uint8Array>,
  { enoughBytes = Number.POSITIVE_INFINITY }: { enoughBytes?: number } = {},
): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of content) {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes >= enoughBytes) break;
  }
  return Buffer.concat(chunks);
}

/** Content that is asked for already, to be read later: what has to be opened for it is opened meanwhile. */
export interface BegunContent extends AsyncIterable<Uint8Array> {
  /** To be called if it is not read, or not to its end. */
  giveUp(): void;
}

export function begun(content: AsyncIterable<Uint8Array>): BegunContent {
  const iterator = content[Symbol.asyncIterator]();
  const first = iterator.next();
  first.catch(() => {}); // reading reports it
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for (let piece = await first; !piece.done; piece = await iterator.next()) yield piece.value;
      } finally {
        await iterator.return?.();
      }
    },
    giveUp() {
      iterator.return?.().catch(() => {});
    },
  };
}

const hint = 'The content is damaged, or was changed; nothing of it was kept.';

function digestMismatch(where: string, expected: string, actual: string): LadingError {
  const problem = `${where}: content of ${expected} has the digest ${actual}`;
  return new LadingError('ERR_LADING_DIGEST_MISMATCH', problem, { hint, data: { expected, actual } });
}

function sizeMismatch(where: string, digest: string, found: string): LadingError {
  return new LadingError('ERR_LADING_SIZE_MISMATCH', `${where}: content of ${digest} has ${found}`, { hint });
}
