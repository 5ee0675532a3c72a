import { parseGoDuration } from '../../lib/go-duration.ts';
import type { PluginAnswer, PluginCacheKeyType } from './plugin-cache.ts';

/** The versions of the exec protocol; they differ in name only. */
export const pluginApiVersions = ['v1', 'v1beta1', 'v1alpha1'].map(
  (version) => `credentialprovider.kubelet.k8s.io/${version}`,
);

export interface PluginRequest {
  readonly apiVersion: string;
  /** Without tag and digest. */
  readonly image: string;
  /** On behalf of a pod's service account. */
  readonly serviceAccountToken?: string | undefined;
  readonly serviceAccountAnnotations?: Readonly<Record<string, string>> | undefined;
}

const cacheKeyTypes: readonly PluginCacheKeyType[] = ['Image', 'Registry', 'Global'];

/** What a plugin reads. @see pull-policy.md 8.4 */
export function encodePluginRequest({ apiVersion, image, ...account }: PluginRequest): string {
  return JSON.stringify({ kind: 'CredentialProviderRequest', apiVersion, image, ...account });
}

/**
 * What a plugin has written.
 * @throws Error with the reason, which quotes nothing of it
 */
export function decodePluginAnswer(text: string, apiVersion: string): PluginAnswer {
  const answer = objectOf(parseJson(text), 'it');
  if (answer.kind !== 'CredentialProviderResponse' || answer.apiVersion !== apiVersion) {
    throw new Error(`it is no CredentialProviderResponse of ${apiVersion}`);
  }
  const { cacheKeyType } = answer;
  if (!isCacheKeyType(cacheKeyType)) throw new Error(`cacheKeyType is not one of ${cacheKeyTypes.join(', ')}`);
  const auth = answer.auth === undefined || answer.auth === null ? {} : objectOf(answer.auth, 'auth');
  return {
    cacheKeyType,
    cacheDurationMs: durationOf(answer.cacheDuration),
    entries: Object.fromEntries(
      Object.entries(auth).map(([pattern, value]) => {
        const { username = '', password = '' } = objectOf(value, 'an entry of auth');
        if (typeof username !== 'string' || typeof password !== 'string') {
          throw new Error('an entry of auth has something else than text');
        }
        return [pattern, { username, password, email: '' }];
      }),
    ),
  };
}

function durationOf(value: unknown): number | undefined {
  if (value === undefined || value === null) return undefined;
  const ms = typeof value === 'string' ? parseGoDuration(value) : undefined;
  if (ms === undefined || ms < 0) throw new Error('cacheDuration is not a duration such as 10m');
  return ms;
}

function isCacheKeyType(value: unknown): value is PluginCacheKeyType {
  return cacheKeyTypes.some((type) => type === value);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error('it is not JSON');
  }
}

function objectOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  throw new Error(`${what} is not an object`);
}
