import { statSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { type Digest, type DigestAlgorithm, digestAlgorithm } from '../oci/digest.ts';
import type { BlobIngest } from '../store/index.ts';
import { digestOrRefusal, Refusal } from './errors.ts';
import type { Exchange, Handler, Reply } from './exchange.ts';
import type { OwnStorage } from './own-storage.ts';
import { tooLarge } from './request-body.ts';
import { sessionHeaders, type UploadSessions } from './upload-sessions.ts';

const algorithms: ReadonlySet<string> = new Set<DigestAlgorithm>(['sha256', 'sha384', 'sha512']);

interface Parts {
  readonly sessions: UploadSessions;
  readonly storage: OwnStorage;
  readonly maxBlobBytes: number;
}

/** `POST blobs/uploads/`: begins an upload, takes a whole blob, or mounts one (end-4, end-11). */
export function uploadsHandlers(parts: Parts): Record<'POST', Handler> {
  return { POST: (exchange) => startUpload(parts, exchange) };
}

/** What is asked of one upload (end-5, end-6, end-13, end-14). */
export function uploadHandlers(parts: Parts): Record<'GET' | 'PATCH' | 'PUT' | 'DELETE', Handler> {
  return {
    GET: (exchange) => showUpload(parts, exchange),
    PATCH: (exchange) => continueUpload(parts, exchange),
    PUT: (exchange) => finishUpload(parts, exchange),
    DELETE: (exchange) => cancelUpload(parts, exchange),
  };
}

async function startUpload(parts: Parts, exchange: Exchange): Promise<Reply> {
  const { repository, query, client } = exchange;
  const mount = optionalDigest(query.get('mount'));
  const digest = optionalDigest(query.get('digest'));
  const algorithm = sessionAlgorithm(query.get('digest-algorithm'), digest ?? mount);
  if (mount !== undefined && mountBlob(parts, { repository, digest: mount, from: query.get('from') ?? undefined })) {
    return blobCreated(repository, mount);
  }
  const id = parts.sessions.create({ repository, algorithm, client, known: digest === undefined });
  if (digest === undefined) return { status: 202, headers: sessionHeaders(repository, id, 0) };
  await uploadWhole(parts, exchange, { id, digest });
  return blobCreated(repository, digest);
}

/** Without `from` any repository may be the source. @returns whether the repository has the blob now */
function mountBlob(
  { storage: { metadata, blobs } }: Parts,
  blob: { repository: string; digest: Digest; from: string | undefined },
): boolean {
  const path = blobs.path(blob.digest);
  return metadata.mountBlob(blob, (size) => statSync(path, { throwIfNoEntry: false })?.size === size);
}

/** Nobody has been told of this session: a request that fails takes it along, and no chunk can be meant. */
async function uploadWhole(
  parts: Parts,
  exchange: Exchange,
  { id, digest }: { id: string; digest: Digest },
): Promise<void> {
  const { sessions } = parts;
  const { repository } = exchange;
  try {
    await sessions.use(repository, id, async (ingest) => {
      await appendBody(parts, exchange, { id, ingest, range: undefined });
      await sessions.finish(repository, id, { ingest, digest });
    });
  } catch (error) {
    await sessions.drop(repository, id);
    throw error;
  }
}

async function showUpload({ sessions }: Parts, { repository, item }: Exchange): Promise<Reply> {
  return { status: 204, headers: sessionHeaders(repository, item, await sessions.offset(repository, item)) };
}

async function continueUpload(parts: Parts, exchange: Exchange): Promise<Reply> {
  const { repository, item, request } = exchange;
  const offset = await parts.sessions.use(repository, item, async (ingest) => {
    await appendBody(parts, exchange, { id: item, ingest, range: contentRange(request) });
    return ingest.offset;
  });
  return { status: 202, headers: sessionHeaders(repository, item, offset) };
}

async function finishUpload(parts: Parts, exchange: Exchange): Promise<Reply> {
  const { repository, item, query, request } = exchange;
  const digest = digestOrRefusal(query.get('digest') ?? '');
  await parts.sessions.use(repository, item, async (ingest) => {
    await appendBody(parts, exchange, { id: item, ingest, range: contentRange(request) });
    await parts.sessions.finish(repository, item, { ingest, digest });
  });
  return blobCreated(repository, digest);
}

async function cancelUpload({ sessions }: Parts, { repository, item }: Exchange): Promise<Reply> {
  await sessions.cancel(repository, item);
  return { status: 204 };
}

/** The chunk that a request says it has. */
interface Chunk {
  readonly start: number;
  readonly length: number;
}

/**
 * Takes the body in behind what is there. With a range it must begin there and have that length; without, it is a
 * stream. What came of a body that is cut, or has not that length, stays, as hashed, and the answer says up to where;
 * what can only become too large a blob does not.
 */
async function appendBody(
  { sessions, maxBlobBytes }: Parts,
  { body, repository }: Exchange,
  { id, ingest, range }: { id: string; ingest: BlobIngest; range: Chunk | undefined },
): Promise<void> {
  if (range && (range.start !== ingest.offset || range.length < 1)) {
    throw await sessions.outOfOrder(repository, id, 'the chunk does not begin where the upload ends');
  }
  const sizeInvalid = () => {
    const message = 'the body does not have the length of its Content-Range';
    return new Refusal(400, { code: 'SIZE_INVALID', message }, sessionHeaders(repository, id, ingest.offset));
  };
  if (range && body.announced !== undefined && body.announced !== range.length) throw sizeInvalid();
  const tooLong = async () => {
    await sessions.end(id, ingest);
    return tooLarge(maxBlobBytes);
  };
  if (ingest.offset + (body.announced ?? 0) > maxBlobBytes) throw await tooLong();
  let left = range?.length ?? Number.POSITIVE_INFINITY;
  for await (const chunk of body.chunks()) {
    left -= chunk.byteLength;
    if (left < 0) throw sizeInvalid();
    if (ingest.offset + chunk.byteLength > maxBlobBytes) throw await tooLong();
    await ingest.append(chunk);
  }
  if (range && left > 0) throw sizeInvalid();
}

/** @throws Refusal `BLOB_UPLOAD_INVALID` with status 400 if it is not `<first>-<last>` */
function contentRange(request: IncomingMessage): Chunk | undefined {
  const text = request.headers['content-range'];
  if (text === undefined) return undefined;
  const match = /^(\d+)-(\d+)$/.exec(text);
  if (!match) {
    throw new Refusal(400, { code: 'BLOB_UPLOAD_INVALID', message: 'Content-Range must be <first>-<last>' });
  }
  const [start, end] = [Number(match[1]), Number(match[2])];
  return { start, length: end - start + 1 };
}

function sessionAlgorithm(asked: string | null, digest: Digest | undefined): DigestAlgorithm {
  if (asked === null) return digest === undefined ? 'sha256' : digestAlgorithm(digest);
  if (algorithms.has(asked)) return asked as DigestAlgorithm;
  const detail = { algorithm: asked };
  throw new Refusal(400, { code: 'DIGEST_INVALID', message: 'unsupported digest algorithm', detail });
}

function optionalDigest(text: string | null): Digest | undefined {
  return text === null ? undefined : digestOrRefusal(text);
}

function blobCreated(repository: string, digest: Digest): Reply {
  return { status: 201, headers: { Location: `/v2/${repository}/blobs/${digest}`, 'Docker-Content-Digest': digest } };
}
