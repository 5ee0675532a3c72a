import { mediaTypes } from '../oci/media-types.ts';
import { digestOrRefusal } from './errors.ts';
import type { Exchange, Handler, Reply } from './exchange.ts';
import type { Metadata } from './metadata.ts';
import { nextPage } from './pagination.ts';

/** Clients read an index as a manifest, of which they take no more than this. */
const maxPageBytes = 4 * 1024 * 1024;
const pageStart = `{"schemaVersion":2,"mediaType":"${mediaTypes.ociIndex}","manifests":[`;
const pageEnd = ']}';

/** `GET referrers/<digest>` (end-12a, end-12b). */
export function referrerHandlers(metadata: Metadata): Record<'GET', Handler> {
  return { GET: (exchange) => listReferrers(metadata, exchange) };
}

function listReferrers(metadata: Metadata, { repository, item, query }: Exchange): Reply {
  const subject = digestOrRefusal(item);
  // Media types have a plus and no blank: a client that did not encode the plus means one.
  const artifactType = query.get('artifactType')?.replaceAll(' ', '+') || undefined;
  const headers: Record<string, string> = { 'Content-Type': mediaTypes.ociIndex };
  if (artifactType !== undefined) headers['OCI-Filters-Applied'] = 'artifactType';
  const entries: string[] = [];
  let bytes = pageStart.length + pageEnd.length;
  let last = query.get('last') ?? '';
  for (const { digest, descriptor } of metadata.referrers(repository, subject, { last, artifactType })) {
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
