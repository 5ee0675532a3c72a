import type { Endpoint } from './endpoint.ts';
import type { RegistryRequest, RegistryResponse, Requester, SendOptions } from './requester.ts';
import { contentError, faultError } from './status-error.ts';
import { headerLines } from './transport.ts';
import { TransportFault } from './transport-fault.ts';

/**
 * The answers to a request and to those that its `Link: <…>; rel="next"` headers lead to, on the same host only. A page
 * that was there before ends the list, so that a registry cannot keep a client in a circle.
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
    const url = new URL(target, response.url);
    if (url.origin === response.url.origin) return url;
  }
  return undefined;
}

const linkPattern = /<([^>]*)>((?:\s*;\s*[^,"]*(?:"[^"]*")?)*)/g;
