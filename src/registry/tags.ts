import type { Reference } from '../oci/reference.ts';
import type { Endpoint } from './endpoint.ts';
import { type Page, pages } from './pages.ts';
import type { Requester, SendOptions } from './requester.ts';
import { repositoryScope } from './scope.ts';
import { contentError } from './status-error.ts';

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
  options: SendOptions,
): Promise<string[]> {
  const tags: string[] = [];
  const request = {
    method: 'GET',
    target: `/${repository}/tags/list?n=${tagsPerPage}`,
    repository,
    headers: { accept: 'application/json' },
    kind: 'tags',
    what: `the tags of ${repository}`,
    scopes: [repositoryScope(repository, 'pull')],
    accept: [200],
    repeatable: true,
  } as const;
  for await (const page of pages(requester, endpoint, request, { ...options, maxBytes: maxPageBytes })) {
    for (const tag of tagsIn(page)) tags.push(tag);
  }
  return tags;
}

function tagsIn({ response, bytes }: Page): string[] {
  const invalid = (problem: string) => contentError('protocol', response.asked, problem);
  let tags: unknown;
  try {
    tags = JSON.parse(bytes.toString('utf8')).tags ?? [];
  } catch {
    throw invalid('the answer is not a JSON object');
  }
  if (Array.isArray(tags) && tags.every((tag) => typeof tag === 'string')) return tags;
  throw invalid('the answer has no list of names');
}
