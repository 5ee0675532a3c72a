import { mediaTypes } from '../oci/media-types.ts';
import { digestOrRefusal } from './errors.ts';
import type { Exchange, Handler, Reply } from './exchange.ts';
import { nextPage } from './pagination.ts';
import type { Storage } from './storage.ts';

/** Clients read an index as a manifest, of which they take no more than this. */
const maxPageBytes = 4 * 1024 * 1024;
const pageStart = `{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[`;
const pageEnd = ']}';

/** `GET referrers/<digest>` (end-12a, end-12b). */
export function referrerHandlers(storage: Storage): Record<'GET', Handler> {
  return { GET: (exchange) => listReferrers(storage, exchange) };
}

async function listReferrers(storage: Storage, { repository, item, query }: Exchange): Promise<Reply> {
  const subject = digestOrRefusal(item);
  // Media types have a plus and no blank: a client that did not encode the plus means one.
  const artifactType = query.get('artifactType')?.replaceAll(' ', '+') || undefined;
  const headers: Record<string, string> = { 'Content-Type': mediaTypes.ociIndex };
  if (artifactType !== undefined) headers['OCI-Filters-Applied'] = 'artifactType';
  const entries: string[] = [];
  let bytes = pageStart.length + pageEnd.length;
  let last = query.get('last') ?? '';
  for (const { digest, descriptor } of await storage.referrers(repository, subject, { last, artifactType })) {
    bytes += Buffer.byteLength(descriptor) + 1;
    if (bytes > maxPageBytes && entries.length > 0) {
      headers.Link = nextPage(`/v2/${repository}/referrers/${subject}`, { artifactType, last });
      break;
    }
    entries.push(descriptor);
    last = digest;
  }
  return { status: 200, headers, body: Buffer.from(pageStart + entries.join(',') + pageEnd) };
}
