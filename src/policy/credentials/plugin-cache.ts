import type { DockerConfigEntries } from './docker-config.ts';
import { registryPatternMatches } from './registry-pattern.ts';

/** For what a plugin's answer holds: this image, all of its registry, or every image. */
export type PluginCacheKeyType = 'Image' | 'Registry' | 'Global';

/** What a credential plugin answered. */
export interface PluginAnswer {
  readonly cacheKeyType: PluginCacheKeyType;
  /** Undefined: as configured for the plugin. 0: do not keep it. */
  readonly cacheDurationMs: number | undefined;
  readonly entries: DockerConfigEntries;
}

/** Entries that have expired are removed this often at most. */
const purgeIntervalMs = 15 * 60_000;
const globalKey = 'global';

/** Whether a plugin is asked for an image. Patterns that are none match nothing. @see pull-policy.md 8.4 */
export function pluginMatches(matchImages: readonly string[], repository: string): boolean {
  return matchImages.some((pattern) => {
    try {
      return registryPatternMatches(pattern, repository);
    } catch {
      return false;
    }
  });
}

/**
 * The answers of one credential plugin, as long as they hold. `account` tells apart on whose behalf it was asked; empty
 * for nobody's.
 * @see pull-policy.md 8.4
 */
export class PluginCache {
  readonly #defaultDurationMs: number;
  readonly #answers = new Map<string, { readonly entries: DockerConfigEntries; readonly expiresAtMs: number }>();
  #purgedAtMs = Number.NEGATIVE_INFINITY;

  constructor({ defaultDurationMs }: { readonly defaultDurationMs: number }) {
    this.#defaultDurationMs = defaultDurationMs;
  }

  /** An answer for the image, else for its registry, else for all. It holds up to and including its last millisecond. */
  get(repository: string, account: string, atMs: number): DockerConfigEntries | undefined {
    this.#purge(atMs);
    for (const key of [repository, registryOf(repository), globalKey]) {
      const answer = this.#answers.get(cacheKey(key, account));
      if (answer && atMs <= answer.expiresAtMs) return answer.entries;
    }
    return undefined;
  }

  set(repository: string, account: string, answer: PluginAnswer, atMs: number): void {
    const { cacheKeyType, cacheDurationMs = this.#defaultDurationMs, entries } = answer;
    if (cacheDurationMs === 0) return;
    const keys = { Image: repository, Registry: registryOf(repository), Global: globalKey };
    this.#answers.set(cacheKey(keys[cacheKeyType], account), { entries, expiresAtMs: atMs + cacheDurationMs });
  }

  #purge(atMs: number): void {
    if (atMs <= this.#purgedAtMs + purgeIntervalMs) return;
    for (const [key, { expiresAtMs }] of this.#answers) if (atMs > expiresAtMs) this.#answers.delete(key);
    this.#purgedAtMs = atMs;
  }
}

function registryOf(repository: string): string {
  return repository.split('/', 1)[0]!;
}

function cacheKey(key: string, account: string): string {
  return JSON.stringify([key, account]);
}
