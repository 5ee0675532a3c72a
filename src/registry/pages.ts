import type { Endpoint } from './endpoint.ts';
import type { ReadResponse, RegistryRequest, RegistryResponse, Requester, SendOptions } from './requester.ts';
import { contentError } from './status-error.ts';
import { headerLines } from './transport.ts';

/** Of 1000 entries, where a registry has as many as it is asked for. */
const maxPages = 10_000;

/** One answer. */
export interface Page {
  readonly response: RegistryResponse;
  readonly bytes: Buffer;
}

/**
 * The answers to a request and to those that its `Link: <…>; rel="next"` headers lead to, on the same host only. A page
 * that was there before ends the list, so that a registry cannot keep a client in a circle.
 * @throws RegistryError `protocol` when there is no end of pages; and what `Requester.send` throws
 * @see registry.md 10.3
 */
export async function* pages(
  requester: Requester,
  endpoint: Endpoint,
  request: RegistryRequest,
  { maxBytes, ...options }: SendOptions & { readonly maxBytes: number },
): AsyncGenerator<Page> {
  const visited = new Set<string>();
  let target: RegistryRequest['target'] | undefined = request.target;
  while (target !== undefined) {
    const response: ReadResponse = await requester.read(endpoint, { ...request, target }, maxBytes, options);
    visited.add(response.url.href);
    if (visited.size > maxPages) {
      throw contentError('protocol', response.asked, `the list has no end: it goes on after ${maxPages} pages`);
    }
    yield pageOf(response, maxBytes);
    const next = nextPage(response);
    target = next && !visited.has(next.href) ? next : undefined;
  }
}

/** @throws RegistryError `protocol` when it is larger than `maxBytes` */
export function pageOf(response: ReadResponse, maxBytes: number): Page {
  const { bytes, complete } = response.content;
  if (complete) return { response, bytes };
  throw contentError('protocol', response.asked, `the answer is larger than ${maxBytes} bytes`);
}

function nextPage(response: RegistryResponse): URL | undefined {
  for (const [, target = '', parameters = ''] of headerLines(response, 'link').join(',').matchAll(linkPattern)) {
    if (!/;\s*rel\s*=\s*(?:"(?:[^"]*\s)?next(?:\s[^"]*)?"|next(?:[\s;,]|$))/i.test(parameters)) continue;
    if (!URL.canParse(target, response.url.href)) continue;
    const { pathname, search } = new URL(target, response.url);
    // A registry behind a proxy may know itself by another name, or over http: what it means is here.
    return new URL(pathname + search, response.url);
  }
  return undefined;
}

const linkPattern = /<([^>]*)>((?:\s*;\s*[^,"]*(?:"[^"]*")?)*)/g;
