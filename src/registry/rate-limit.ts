import { type HttpResponse, headerOf } from './transport.ts';

/** How much a registry still allows. */
export interface RateLimit {
  /** Requests per window. */
  readonly limit: number;
  readonly remaining: number;
  /** Seconds; undefined where the registry does not say. */
  readonly windowSeconds: number | undefined;
  /** Who is counted: an address or a user, as Docker Hub names it. */
  readonly source: string | undefined;
}

/** `ratelimit-limit: 100;w=21600` and its companions; undefined when they are missing or unreadable. @see registry.md 9.2 */
export function rateLimitOf(response: Pick<HttpResponse, 'headers'>): RateLimit | undefined {
  const [limit, windowSeconds] = quantity(headerOf(response, 'ratelimit-limit'));
  const [remaining, sameWindow] = quantity(headerOf(response, 'ratelimit-remaining'));
  if (limit === undefined || remaining === undefined) return undefined;
  const source = headerOf(response, 'docker-ratelimit-source');
  return { limit, remaining, windowSeconds: windowSeconds ?? sameWindow, source };
}

function quantity(header: string | undefined): readonly [count: number | undefined, windowSeconds: number | undefined] {
  const match = /^\s*(\d+)\s*(?:;\s*w=(\d+)\s*)?/.exec(header ?? '');
  if (!match) return [undefined, undefined];
  return [Number(match[1]), match[2] === undefined ? undefined : Number(match[2])];
}
