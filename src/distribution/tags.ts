import { Refusal } from './errors.ts';
import { type Exchange, type Handler, jsonBody, type Reply } from './exchange.ts';
import type { Metadata } from './metadata.ts';
import { nextPage } from './pagination.ts';

const maxTagsPerPage = 1000;

/** `GET tags/list` (end-8a, end-8b). */
export function tagHandlers(metadata: Metadata): Record<'GET', Handler> {
  return { GET: (exchange) => listTags(metadata, exchange) };
}

function listTags(metadata: Metadata, { repository, query }: Exchange): Reply {
  const limit = pageSize(query.get('n'));
  if (!metadata.hasRepository(repository)) {
    throw new Refusal(404, {
      code: 'NAME_UNKNOWN',
      message: 'repository name not known',
      detail: { name: repository },
    });
  }
  const found = metadata.tags(repository, { last: query.get('last') ?? '', limit: limit + 1 });
  const tags = found.slice(0, limit);
  const headers: Record<string, string> = { 'Content-Type': 'application/json' };
  const last = tags.at(-1);
  if (found.length > tags.length && last !== undefined) {
    headers.Link = nextPage(`/v2/${repository}/tags/list`, { n: String(limit), last });
  }
  return { status: 200, headers, body: jsonBody({ name: repository, tags }) };
}

function pageSize(text: string | null): number {
  if (text === null) return maxTagsPerPage;
  if (!/^\d+$/.test(text)) {
    throw new Refusal(400, {
      code: 'UNSUPPORTED',
      message: 'n must be a whole number that is not negative',
      detail: { n: text },
    });
  }
  return Math.min(Number(text), maxTagsPerPage);
}
