import { debugLog } from '../lib/debug.ts';
import { isPassing } from './endpoints-error.ts';
import type { RegistryResponse } from './requester.ts';
import { headerOf } from './transport.ts';
import {
  finishSession,
  locationOf,
  SessionLost,
  type UploadSession,
  type UploadTarget,
  uploadRequest,
} from './upload-session.ts';

/** Some registries take no more in one PATCH (GHCR). */
export const chunkBytes = 4 * 1024 * 1024;
/** A chunk is kept in memory until the registry has it. */
const maxChunkBytes = 64 * 1024 * 1024;

const log = debugLog('registry');

/** The registry cannot take a blob in chunks, or not in ours. */
export class ChunksRefused extends Error {}

/**
 * Sends a blob chunk by chunk. After a failure the registry is asked how far it came, and the rest follows.
 * @throws ChunksRefused, SessionLost; RegistryError
 * @see registry.md 10.1
 */
export async function uploadInChunks(
  upload: UploadTarget,
  session: UploadSession,
  content: AsyncIterable<Uint8Array>,
): Promise<void> {
  const size = Math.max(chunkBytes, session.minChunkBytes);
  if (size > maxChunkBytes) throw new ChunksRefused(`it wants chunks of ${session.minChunkBytes} bytes`);
  let { location } = session;
  let position = 0;
  for await (const chunk of chunksOf(content, size)) {
    location = await sendChunk(upload, { location, chunk, position });
    position += chunk.byteLength;
  }
  await finishSession(upload, location, undefined);
}

interface Chunk {
  readonly location: URL;
  readonly chunk: Uint8Array;
  /** Of its first byte in the blob. */
  readonly position: number;
}

/** @returns where the next chunk goes */
async function sendChunk(upload: UploadTarget, { location, chunk, position }: Chunk): Promise<URL> {
  const { retrier } = upload.requester;
  const end = position + chunk.byteLength;
  let stored = position;
  let next = location;
  for (let attempt = 1; stored < end; attempt += 1) {
    try {
      const response = await patch(upload, next, chunk.subarray(stored - position), stored);
      if (response.status !== 416) {
        stored = storedBytes(response, position) ?? end;
        next = locationOf(response);
        if (stored > end || stored < position) throw new SessionLost(`it has ${stored} bytes, ${end} were sent`);
        continue;
      }
    } catch (error) {
      if (!isPassing(error) || attempt >= retrier.attempts) throw error;
      log('a chunk at %d of %s: %s', stored, upload.descriptor.digest, (error as Error).message);
      await retrier.sleep(retrier.backoffMs(attempt), upload.options.signal);
    }
    if (attempt >= retrier.attempts) throw new SessionLost('it refuses the position that it asks for');
    const status = await askStatus(upload, next);
    stored = storedBytes(status, position) ?? position;
    if (stored < position || stored > end) throw new SessionLost(`it has ${stored} bytes, not ${position}`);
    next = locationOf(status);
  }
  return next;
}

async function patch(upload: UploadTarget, location: URL, bytes: Uint8Array, at: number): Promise<RegistryResponse> {
  const { requester, endpoint, repository, descriptor, options } = upload;
  const response = await requester.send(
    endpoint,
    {
      ...uploadRequest({ repository }, 'PATCH', location),
      headers: { 'content-type': 'application/octet-stream', 'content-range': `${at}-${at + bytes.byteLength - 1}` },
      body: { length: bytes.byteLength, open: () => bytes },
      what: `a chunk of blob ${descriptor.digest} for ${repository}`,
      accept: [201, 202, 204, 404, 405, 413, 416, 501],
    },
    options,
  );
  await response.body.discard();
  const { status } = response;
  if (status === 404) throw new SessionLost('it does not know the upload');
  // ECR answers 201 and keeps the first chunk only.
  if (status !== 202 && status !== 204 && status !== 416) throw new ChunksRefused(`it answers ${status} to PATCH`);
  return response;
}

async function askStatus(upload: UploadTarget, location: URL): Promise<RegistryResponse> {
  const { requester, endpoint, repository, options } = upload;
  const request = uploadRequest({ repository }, 'GET', location);
  const response = await requester.send(endpoint, { ...request, accept: [200, 204, 404], repeatable: true }, options);
  await response.body.discard();
  if (response.status === 404) throw new SessionLost('it does not know the upload');
  return response;
}

/** From `Range: 0-LAST`. `0-0` may mean one byte or, at the beginning, none: then sending it again is right. */
function storedBytes(response: RegistryResponse, position: number): number | undefined {
  const last = /^(?:bytes=)?0-(\d+)$/.exec(headerOf(response, 'range') ?? '')?.[1];
  if (last === undefined) return undefined;
  return position === 0 && last === '0' ? 0 : Number(last) + 1;
}

async function* chunksOf(content: AsyncIterable<Uint8Array>, size: number): AsyncGenerator<Uint8Array> {
  let pieces: Uint8Array[] = [];
  let length = 0;
  for await (const whole of content) {
    for (let rest = whole; rest.byteLength > 0; ) {
      const piece = rest.subarray(0, size - length);
      rest = rest.subarray(piece.byteLength);
      pieces.push(piece);
      length += piece.byteLength;
      if (length < size) continue;
      yield Buffer.concat(pieces);
      pieces = [];
      length = 0;
    }
  }
  if (length > 0) yield Buffer.concat(pieces);
}
