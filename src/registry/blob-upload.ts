import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Reference } from '../oci/reference.ts';
import { ChunksRefused, chunkBytes, uploadInChunks } from './chunked-upload.ts';
import type { Endpoint } from './endpoint.ts';
import { hasBlob } from './has-blob.ts';
import { RegistryError } from './registry-error.ts';
import type { CallOptions, Requester, SendOptions } from './requester.ts';
import { maxRetryAfterMs } from './retry.ts';
import {
  abandonSession,
  finishSession,
  openSession,
  SessionLost,
  type UploadSession,
  type UploadTarget,
} from './upload-session.ts';

/** The content of a blob; called again when it must be sent again. */
export type BlobSource = () => AsyncIterable<Uint8Array> | Uint8Array;

export interface UploadOptions extends CallOptions {
  /** A repository of the same registry that has the blob: then it is linked instead of sent, where that is allowed. */
  readonly mountFrom?: string | undefined;
}

const log = debugLog('registry');

/**
 * Sends a blob, unless the registry has it: in one piece, and after a failure of that in chunks, which do not begin
 * anew each time.
 * @returns whether it was sent
 * @see registry.md 10.1
 */
export async function uploadBlob(
  requester: Requester,
  endpoint: Endpoint,
  { repository }: Pick<Reference, 'repository'>,
  descriptor: Descriptor,
  source: BlobSource,
  { mountFrom, ...options }: UploadOptions & SendOptions,
): Promise<boolean> {
  const isThere = () => hasBlob(requester, endpoint, { repository }, descriptor, options, 'push');
  if (await isThere()) return false;
  const upload: UploadTarget = { requester, endpoint, repository, descriptor, options };
  const { retrier } = requester;
  let way: Way = 'whole';
  let chunksWork = descriptor.size > chunkBytes;
  /** Without an answer to the last request; that of a large blob may take a registry longer than anybody waits. */
  let mayBeThere = false;
  for (let attempt = 1; ; attempt += 1) {
    let session: UploadSession | undefined;
    try {
      if (mayBeThere && (await isThere())) return true;
      session = await openSession(upload, mountFrom);
      if (!session) return false;
      if (way === 'whole') {
        await finishSession(upload, session.location, { length: descriptor.size, open: source });
      } else {
        await uploadInChunks(upload, session, toIterable(source()));
      }
      return true;
    } catch (error) {
      if (error instanceof ChunksRefused) chunksWork = false;
      const next: Way | undefined = attempt < retrier.attempts ? nextWay(error, { way, chunksWork }) : undefined;
      if (!next) {
        if (session) await abandonSession(upload, session.location);
        throw error instanceof SessionLost ? lost(upload, error) : error;
      }
      log('upload of %s: %s', descriptor.digest, errorMessage(error));
      way = next;
      mayBeThere = error instanceof RegistryError && error.data.unreachable;
      if (error instanceof RegistryError && error.data.unreachable) {
        await retrier.sleep(Math.max(error.data.retryAfterMs ?? 0, retrier.backoffMs(attempt)), options.signal);
      }
    }
  }
}

type Way = 'whole' | 'chunks';

/** How to go on after a failure; undefined: not at all. */
function nextWay(error: unknown, { way, chunksWork }: { way: Way; chunksWork: boolean }): Way | undefined {
  if (error instanceof ChunksRefused) return 'whole';
  if (error instanceof SessionLost) return way;
  if (!(error instanceof RegistryError)) return undefined;
  const { kind, unreachable, retryAfterMs = 0 } = error.data;
  if (kind === 'too-large') return way === 'whole' && chunksWork ? 'chunks' : undefined;
  if (!unreachable || retryAfterMs > maxRetryAfterMs) return undefined;
  // A connection that ended in the middle may do so again: chunks lose less.
  return chunksWork && ['reset', 'timeout', 'truncated'].includes(kind) ? 'chunks' : way;
}

function lost({ endpoint: { registry }, repository, descriptor }: UploadTarget, cause: SessionLost): RegistryError {
  return new RegistryError(
    'protocol',
    `Registry ${registry} loses the upload of blob ${descriptor.digest} to ${repository}: ${cause.message}`,
    { registry },
    { hint: 'Behind a load balancer, all requests of an upload must reach the same storage.', cause },
  );
}

async function* toIterable(content: AsyncIterable<Uint8Array> | Uint8Array): AsyncGenerator<Uint8Array> {
  if (content instanceof Uint8Array) yield content;
  else yield* content;
}
