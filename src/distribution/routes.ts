import { parseReference } from '../oci/reference.ts';
import { Refusal } from './errors.ts';

export type Endpoint =
  | 'base'
  | 'catalog'
  | 'manifest'
  | 'blob'
  | 'uploads'
  | 'upload'
  | 'tags'
  | 'referrers'
  | 'metrics';

export interface Route {
  readonly endpoint: Endpoint;
  readonly repository: string;
  readonly item: string;
}

/**
 * Which endpoint a path means. The path is split from the right, since a repository name may itself have components
 * called `blobs` or `manifests`. The name is taken as it is written, so an encoded slash makes it invalid; the last
 * part is decoded, since clients encode the colon of a digest.
 * @returns undefined for a path that no endpoint has
 * @throws Refusal `NAME_INVALID`
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md#endpoints
 */
export function route(path: string): Route | undefined {
  if (path === '/v2' || path === '/v2/') return { endpoint: 'base', repository: '', item: '' };
  if (path === '/v2/_catalog') return { endpoint: 'catalog', repository: '', item: '' };
  if (path === '/metrics') return { endpoint: 'metrics', repository: '', item: '' };
  if (!path.startsWith('/v2/')) return undefined;
  const parts = path.slice('/v2/'.length).split('/');
  const [third, second, last] = [parts.at(-3), parts.at(-2), parts.at(-1)!];
  if (second === 'manifests') return routeTo('manifest', parts.slice(0, -2), last);
  if (second === 'referrers') return routeTo('referrers', parts.slice(0, -2), last);
  if (second === 'tags' && last === 'list') return routeTo('tags', parts.slice(0, -2), '');
  if (third === 'blobs' && second === 'uploads') {
    return last === '' ? routeTo('uploads', parts.slice(0, -3), '') : routeTo('upload', parts.slice(0, -3), last);
  }
  if (second === 'blobs' && last === 'uploads') return routeTo('uploads', parts.slice(0, -2), '');
  if (second === 'blobs') return routeTo('blob', parts.slice(0, -2), last);
  return undefined;
}

function routeTo(endpoint: Endpoint, nameParts: readonly string[], item: string): Route {
  const repository = nameParts.join('/');
  if (!isRepositoryName(repository)) {
    throw new Refusal(400, { code: 'NAME_INVALID', message: 'invalid repository name', detail: { name: repository } });
  }
  return { endpoint, repository, item: decoded(item) };
}

/** @see registry.md 1.1 */
export function isRepositoryName(text: string): boolean {
  try {
    return parseReference(`localhost/${text}`).repository === text;
  } catch {
    return false;
  }
}

/** @see registry.md 1.1 */
export function isTag(text: string): boolean {
  try {
    return parseReference(`localhost/name:${text}`).tag === text;
  } catch {
    return false;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
