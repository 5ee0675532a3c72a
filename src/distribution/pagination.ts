import { Refusal } from './errors.ts';
import type { Page } from './storage.ts';

/** A relative link to the next page. @see https://www.rfc-editor.org/rfc/rfc8288 */
export function nextPage(path: string, parameters: Readonly<Record<string, string | undefined>>): string {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) query.set(name, value);
  return `<${path}?${query}>; rel="next"`;
}

/**
 * The page that `n` and `last` ask for. A larger `n` than `max` gets `max`, and a link to the rest.
 * @throws Refusal with status 400 if `n` is no whole number
 */
export function requestedPage(query: URLSearchParams, { usual, max }: { usual: number; max: number }): Page {
  const text = query.get('n');
  const last = query.get('last') ?? '';
  if (text === null) return { last, limit: usual };
  if (/^\d+$/.test(text)) return { last, limit: Math.min(Number(text), max) };
  const message = 'n must be a whole number that is not negative';
  throw new Refusal(400, { code: 'UNSUPPORTED', message, detail: { n: text } });
}

/** The answer's headers; with a link if there is more behind the page. */
export function pageHeaders(path: string, names: readonly string[], { limit }: Page): Record<string, string> {
  const last = names[limit - 1];
  const hasMore = names.length > limit && last !== undefined;
  return { 'Content-Type': 'application/json', ...(hasMore && { Link: nextPage(path, { n: String(limit), last }) }) };
}
