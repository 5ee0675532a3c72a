/** What the headers of a blob or manifest request select of a representation. Strong validators only: the digest. */
import type { IncomingHttpHeaders } from 'node:http';
import type { Digest } from '../oci/digest.ts';

export interface ByteRange {
  readonly start: number;
  /** Inclusive. */
  readonly end: number;
}

export function etag(digest: Digest): string {
  return `"${digest}"`;
}

/** Whether the client has this content already. Accepts the digest without quotes too, as docker's registry does. */
export function isNotModified(headers: IncomingHttpHeaders, digest: Digest): boolean {
  const candidates = headers['if-none-match']?.split(',').map((text) => text.trim().replace(/^W\//, ''));
  return candidates?.some((text) => text === '*' || text === digest || text === etag(digest)) ?? false;
}

/**
 * The range to serve; undefined for the whole: no range, several ranges, another unit, a syntax fault, or an
 * `If-Range` that names other content.
 * @see https://www.rfc-editor.org/rfc/rfc9110#name-range-requests
 */
export function requestedRange(
  headers: IncomingHttpHeaders,
  { digest, size }: { digest: Digest; size: number },
): ByteRange | 'unsatisfiable' | undefined {
  const ifRange = headers['if-range'];
  if (ifRange !== undefined && ifRange !== etag(digest)) return undefined;
  const match = /^\s*bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*$/i.exec(headers.range ?? '');
  const [, first = '', last = ''] = match ?? [];
  if (first === '' && last === '') return undefined;
  const start = first === '' ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === '' || last === '' ? size - 1 : Math.min(Number(last), size - 1);
  return start <= end ? { start, end } : 'unsatisfiable';
}
