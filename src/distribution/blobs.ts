import type { Digest } from '../oci/digest.ts';
import { mediaTypes } from '../oci/media-types.ts';
import type { BlobStore } from '../store/index.ts';
import { digestOrRefusal, Refusal } from './errors.ts';
import type { Exchange, Handler, Reply } from './exchange.ts';
import type { Metadata } from './metadata.ts';
import { etag, isNotModified, requestedRange } from './ranges.ts';

/** `GET`, `HEAD` and `DELETE blobs/<digest>` (end-2, end-10). */
export function blobHandlers(blobs: BlobStore, metadata: Metadata): Record<'GET' | 'DELETE', Handler> {
  return {
    GET: (exchange) => getBlob(blobs, metadata, exchange),
    DELETE: (exchange) => deleteBlob(metadata, exchange),
  };
}

async function getBlob(blobs: BlobStore, metadata: Metadata, { request, repository, item }: Exchange): Promise<Reply> {
  const digest = digestOrRefusal(item);
  const size = metadata.blobSize(repository, digest);
  // A file that somebody removed is "not here" rather than a fault: the next push of it then brings it back.
  if (size === undefined || (await blobs.size(digest)) !== size) throw blobUnknown(digest);
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
  // With an end even for the whole, the stream takes no more memory than a small blob needs.
  const { start, end } = range ?? { start: 0, end: size - 1 };
  const body = { size: end - start + 1, open: () => blobs.openRead(digest, { start, end }) };
  if (range === undefined) return { status: 200, headers, body };
  return { status: 206, headers: { ...headers, 'Content-Range': `bytes ${start}-${end}/${size}` }, body };
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
