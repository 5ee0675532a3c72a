import type { Endpoint } from './endpoint.ts';
import type { RegistryRequest, RegistryResponse, Requester, SendOptions } from './requester.ts';
import { contentError, faultError } from './status-error.ts';
import { headerLines } from './transport.ts';
import { TransportFault } from './transport-fault.ts';

/** Of 1000 entries, where a registry has as many as it is asked for. */
const maxPages = 10_000;

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
  options: SendOptions,
): AsyncGenerator<RegistryResponse> {
  const visited = new Set<string>();
  let target: RegistryRequest['target'] | undefined = request.target;
  while (target !== undefined) {
    const response: RegistryResponse = await requester.send(endpoint, { ...request, target }, options);
    visited.add(response.url.href);
    if (visited.size > maxPages) {
      response.body.discard().catch(() => {});
      throw contentError('protocol', response.asked, `the list has no end: it goes on after ${maxPages} pages`);
    }
    yield response;
    const next = nextPage(response);
    target = next && !visited.has(next.href) ? next : undefined;
  }
}

/** The body of a page. @throws RegistryError `protocol` when it is larger than `maxBytes`; `truncated` and the like */
export async function readPage(response: RegistryResponse, maxBytes: number): Promise<Buffer> {
  let page: { bytes: Buffer; complete: boolean };
  try {
    page = await response.body.read(maxBytes);
  } catch (error) {
    if (error instanceof TransportFault) throw faultError(response.asked, error);
    throw error;
  }
  if (page.complete) return page.bytes;
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
