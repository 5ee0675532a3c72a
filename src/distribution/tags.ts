import { repositoryUnknown } from './errors.ts';
import { type Exchange, type Handler, jsonBody, type Reply } from './exchange.ts';
import { pageHeaders, requestedPage } from './pagination.ts';
import type { Storage } from './storage.ts';

const tagsPerPage = { usual: 1000, max: 1000 };

/** `GET tags/list` (end-8a, end-8b). */
export function tagHandlers(storage: Storage): Record<'GET', Handler> {
  return { GET: (exchange) => listTags(storage, exchange) };
}

async function listTags(storage: Storage, { repository, query }: Exchange): Promise<Reply> {
  const page = requestedPage(query, tagsPerPage);
  const tags = await storage.tags(repository, { ...page, limit: page.limit + 1 });
  if (!tags) throw repositoryUnknown(repository);
  const headers = pageHeaders(`/v2/${repository}/tags/list`, tags, page);
  return { status: 200, headers, body: jsonBody({ name: repository, tags: tags.slice(0, page.limit) }) };
}
