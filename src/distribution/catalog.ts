import { type Exchange, type Handler, jsonBody, type Reply } from './exchange.ts';
import { pageHeaders, requestedPage } from './pagination.ts';
import type { Storage } from './storage.ts';

/** As docker's registry has them. */
const repositoriesPerPage = { usual: 100, max: 1000 };

/** `GET /v2/_catalog`, which is no part of the specification but known to all tools. */
export function catalogHandlers(storage: Storage): Record<'GET', Handler> {
  return { GET: (exchange) => listRepositories(storage, exchange) };
}

async function listRepositories(storage: Storage, { query }: Exchange): Promise<Reply> {
  const page = requestedPage(query, repositoriesPerPage);
  const names = await storage.repositories({ ...page, limit: page.limit + 1 });
  const headers = pageHeaders('/v2/_catalog', names, page);
  return { status: 200, headers, body: jsonBody({ repositories: names.slice(0, page.limit) }) };
}
