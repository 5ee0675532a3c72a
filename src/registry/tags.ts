import type { Reference } from '../oci/reference.ts';
import type { Endpoint } from './endpoint.ts';
import type { CallOptions, RegistryResponse, Requester } from './requester.ts';
import { repositoryScope } from './scope.ts';
import { contentError, faultError } from './status-error.ts';
import { headerLines } from './transport.ts';
import { TransportFault } from './transport-fault.ts';

/** More than that is refused by some registries. */
const tagsPerPage = 1000;
/** A page of a registry that ignores the limit may be long; a name and a tag are short. */
const maxPageBytes = 16 * 1024 * 1024;

/**
 * All tags of a repository, in the registry's order.
 * @throws RegistryError `not-found` when there is no such repository, or none that may be seen
 * @see registry.md 10.3
 */
export async function listTags(
  requester: Requester,
  endpoint: Endpoint,
  { repository }: Pick<Reference, 'repository'>,
  options: CallOptions,
): Promise<string[]> {
  const tags: string[] = [];
  const visited = new Set<string>();
  let target: string | URL | undefined = `/${repository}/tags/list?n=${tagsPerPage}`;
  while (target !== undefined) {
    const response: RegistryResponse = await requester.send(
      endpoint,
      {
        method: 'GET',
        target,
        headers: { accept: 'application/json' },
        kind: 'tags',
        what: `the tags of ${repository}`,
        scopes: [repositoryScope(repository, 'pull')],
        accept: [200],
        repeatable: true,
      },
      options,
    );
    visited.add(response.url.href);
    for (const tag of await readPage(response)) tags.push(tag);
    const next = nextPage(response);
    target = next && !visited.has(next.href) ? next : undefined;
  }
  return tags;
}

async function readPage(response: RegistryResponse): Promise<string[]> {
  const invalid = (problem: string) => contentError('protocol', response.asked, problem);
  let page: { bytes: Buffer; complete: boolean };
  try {
    page = await response.body.read(maxPageBytes);
  } catch (error) {
    if (error instanceof TransportFault) throw faultError(response.asked, error);
    throw error;
  }
  if (!page.complete) throw invalid(`the answer is larger than ${maxPageBytes} bytes`);
  let tags: unknown;
  try {
    tags = JSON.parse(page.bytes.toString('utf8')).tags ?? [];
  } catch {
    throw invalid('the answer is not a JSON object');
  }
  if (!Array.isArray(tags) || tags.some((tag) => typeof tag !== 'string'))
    throw invalid('the answer has no list of names');
  return tags;
}

/** Of `Link: <…>; rel="next"`, on the same host only. */
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
