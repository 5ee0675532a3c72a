import type { Digest } from '../oci/digest.ts';
import { mediaTypes } from '../oci/media-types.ts';
import { digestOrRefusal, Refusal } from './errors.ts';
import type { Exchange, Handler, Reply } from './exchange.ts';
import type { Metadata } from './metadata.ts';
import { etag, isNotModified, requestedRange } from './ranges.ts';
import type { Storage } from './storage.ts';

/** `GET` and `HEAD blobs/<digest>` (end-2). */
export function blobReading(storage: Storage): Record<'GET', Handler> {
  return { GET: (exchange) => getBlob(storage, exchange) };
}

/** `DELETE blobs/<digest>` (end-10). */
export function blobDeletion(metadata: Metadata): Record<'DELETE', Handler> {
  return { DELETE: (exchange) => deleteBlob(metadata, exchange) };
}

async function getBlob(storage: Storage, { request, repository, item }: Exchange): Promise<Reply> {
  const digest = digestOrRefusal(item);
  const blob = await storage.blob(repository, digest);
  if (!blob) throw blobUnknown(digest);
  const { size } = blob;
  const headers = {
    'Content-Type': mediaTypes.octetStream,
    'Docker-Content-Digest': digest,
    ETag: etag(digest),
    'Accept-Ranges': 'bytes',
    'Cache-Control': 'max-age=31536000',
  };
  if (isNotModified(request.headers, digest)) return { status: 304, headers };
  const range = request.method === 'GET' ? requestedRange(request.headers, { digest, size }) : undefined;
  if (range === 'unsatisfiable') return { status: 416, headers: { ...headers, 'Content-Range': `bytes */${size}` } };
  const open = () => blob.open();
  if (range === undefined) return { status: 200, headers, body: { start: 0, size, open } };
  const { start, end } = range;
  return {
    status: 206,
    headers: { ...headers, 'Content-Range': `bytes ${start}-${end}/${size}` },
    body: { start, size: end - start + 1, open },
  };
}

/** The repository loses the blob at once; its bytes stay for other repositories. */
function deleteBlob(metadata: Metadata, { repository, item }: Exchange): Reply {
  const digest = digestOrRefusal(item);
  if (!metadata.unlinkBlob(repository, digest)) throw blobUnknown(digest);
  return { status: 202 };
}

function blobUnknown(digest: Digest): Refusal {
  return new Refusal(404, { code: 'BLOB_UNKNOWN', message: 'blob unknown to the repository', detail: { digest } });
}
