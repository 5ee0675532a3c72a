import type { IncomingMessage } from 'node:http';
import { type Digest, type DigestAlgorithm, digestAlgorithm } from '../oci/digest.ts';
import type { BlobIngest, BlobStore } from '../store/index.ts';
import { digestOrRefusal, Refusal } from './errors.ts';
import type { Exchange, Handler, Reply } from './exchange.ts';
import type { Metadata } from './metadata.ts';
import { readChunks } from './request-body.ts';
import { sessionHeaders, type UploadSessions } from './upload-sessions.ts';

const algorithms: ReadonlySet<string> = new Set<DigestAlgorithm>(['sha256', 'sha384', 'sha512']);

interface Parts {
  readonly sessions: UploadSessions;
  readonly metadata: Metadata;
  readonly blobs: BlobStore;
}

/** `POST blobs/uploads/`: begins an upload, takes a whole blob, or mounts one (end-4, end-11). */
export function uploadsHandlers(parts: Parts): Record<'POST', Handler> {
  return { POST: (exchange) => startUpload(parts, exchange) };
}

/** What is asked of one upload (end-5, end-6, end-13, end-14). */
export function uploadHandlers(sessions: UploadSessions): Record<'GET' | 'PATCH' | 'PUT' | 'DELETE', Handler> {
  return {
    GET: (exchange) => showUpload(sessions, exchange),
    PATCH: (exchange) => continueUpload(sessions, exchange),
    PUT: (exchange) => finishUpload(sessions, exchange),
    DELETE: (exchange) => cancelUpload(sessions, exchange),
  };
}

async function startUpload(parts: Parts, exchange: Exchange): Promise<Reply> {
  const { sessions } = parts;
  const { repository, query } = exchange;
  const mount = optionalDigest(query.get('mount'));
  const digest = optionalDigest(query.get('digest'));
  const algorithm = sessionAlgorithm(query.get('digest-algorithm'), digest ?? mount);
  if (mount !== undefined && (await mountBlob(parts, { repository, digest: mount, from: query.get('from') }))) {
    return blobCreated(repository, mount);
  }
  const id = sessions.create(repository, algorithm);
  if (digest === undefined) return { status: 202, headers: sessionHeaders(repository, id, 0) };
  await uploadWhole(sessions, exchange, { id, digest });
  return blobCreated(repository, digest);
}

/** Without `from` any repository may be the source. @returns whether the repository has the blob now */
async function mountBlob(
  { metadata, blobs }: Parts,
  { repository, digest, from }: { repository: string; digest: Digest; from: string | null },
): Promise<boolean> {
  const size = from === null ? metadata.blobSizeAnywhere(digest) : metadata.blobSize(from, digest);
  if (size === undefined || (await blobs.size(digest)) !== size) return false;
  metadata.linkBlob(repository, digest, size);
  return true;
}

/** Nobody has been told of this session, so a request that fails takes it along. */
async function uploadWhole(
  sessions: UploadSessions,
  { request, repository }: Exchange,
  { id, digest }: { id: string; digest: Digest },
): Promise<void> {
  try {
    await sessions.use(repository, id, async (ingest) => {
      for await (const chunk of readChunks(request)) await ingest.append(chunk);
      await sessions.finish(repository, id, { ingest, digest });
    });
  } catch (error) {
    await sessions.drop(repository, id);
    throw error;
  }
}

async function showUpload(sessions: UploadSessions, { repository, item }: Exchange): Promise<Reply> {
  return { status: 204, headers: sessionHeaders(repository, item, await sessions.offset(repository, item)) };
}

async function continueUpload(sessions: UploadSessions, { request, repository, item }: Exchange): Promise<Reply> {
  const offset = await sessions.use(repository, item, async (ingest) => {
    await appendBody(sessions, { request, repository, id: item, ingest });
    return ingest.offset;
  });
  return { status: 202, headers: sessionHeaders(repository, item, offset) };
}

async function finishUpload(sessions: UploadSessions, { request, repository, item, query }: Exchange): Promise<Reply> {
  const digest = digestOrRefusal(query.get('digest') ?? '');
  await sessions.use(repository, item, async (ingest) => {
    await appendBody(sessions, { request, repository, id: item, ingest });
    await sessions.finish(repository, item, { ingest, digest });
  });
  return blobCreated(repository, digest);
}

async function cancelUpload(sessions: UploadSessions, { repository, item }: Exchange): Promise<Reply> {
  await sessions.cancel(repository, item);
  return { status: 204 };
}

/**
 * Takes the body in behind what is there. With `Content-Range` it must begin there and have that length; without, it
 * is a stream. What came of a body that is cut stays, as hashed.
 */
async function appendBody(
  sessions: UploadSessions,
  { request, repository, id, ingest }: { request: IncomingMessage; repository: string; id: string; ingest: BlobIngest },
): Promise<void> {
  const range = contentRange(request);
  if (range && (range.start !== ingest.offset || range.length < 1)) {
    throw await sessions.outOfOrder(repository, id, 'the chunk does not begin where the upload ends');
  }
  const announced = request.headers['content-length'];
  if (range && announced !== undefined && Number(announced) !== range.length) throw sizeInvalid();
  let left = range?.length ?? Number.POSITIVE_INFINITY;
  for await (const chunk of readChunks(request)) {
    left -= chunk.byteLength;
    if (left < 0) throw sizeInvalid();
    await ingest.append(chunk);
  }
  if (range && left > 0) throw sizeInvalid();
}

/** @throws Refusal `BLOB_UPLOAD_INVALID` with status 400 if it is not `<first>-<last>` */
function contentRange(request: IncomingMessage): { start: number; length: number } | undefined {
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

function sizeInvalid(): Refusal {
  return new Refusal(400, { code: 'SIZE_INVALID', message: 'the body does not have the length of its Content-Range' });
}
