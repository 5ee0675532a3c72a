/** What a token lets its holder do: `type:name:action[,action]`. @see registry.md 3.3 */

export type RepositoryAction = 'pull' | 'push' | 'delete';

export function repositoryScope(repository: string, ...actions: readonly RepositoryAction[]): string {
  return `repository:${repository}:${actions.join(',')}`;
}

export function splitScopes(text: string): string[] {
  return text.split(' ').filter((scope) => scope !== '');
}

/** Groups by resource, unites and sorts the actions, sorts the scopes; scopes of another form are kept as they are. */
export function mergeScopes(scopes: readonly string[]): string[] {
  const actionsOf = new Map<string, Set<string>>();
  const merged = new Set<string>();
  for (const scope of scopes) {
    const parts = resourceAndActions(scope);
    if (!parts) {
      merged.add(scope);
      continue;
    }
    const known = actionsOf.get(parts.resource) ?? new Set();
    actionsOf.set(parts.resource, known);
    for (const action of parts.actions) known.add(action);
  }
  for (const [resource, actions] of actionsOf) {
    if (actions.size > 0) merged.add(`${resource}:${actions.has('*') ? '*' : [...actions].sort().join(',')}`);
  }
  return [...merged].sort();
}

/**
 * The scopes to ask for: the union of what the registry demanded and what the operation needs. When the registry named
 * other repositories only (it serves this one under another path), its word alone counts.
 */
export function scopesToRequest(demanded: readonly string[], needed: readonly string[]): string[] {
  const demandedRepositories = demanded.filter(namesRepository);
  const neededResources = new Set(needed.map((scope) => resourceAndActions(scope)?.resource));
  const elsewhere =
    demandedRepositories.length > 0 &&
    !demandedRepositories.some((scope) => neededResources.has(resourceAndActions(scope)?.resource));
  return mergeScopes(elsewhere ? demanded : [...demanded, ...needed]);
}

/** The same scopes, those that were demanded first, as they were: some token servers read only the first one. */
export function demandedFirst(scopes: readonly string[], demanded: readonly string[]): string[] {
  const resourceOf = (scope: string) => resourceAndActions(scope)?.resource ?? scope;
  const resources = [...demanded, ...scopes].map(resourceOf);
  return [...scopes].sort((a, b) => resources.indexOf(resourceOf(a)) - resources.indexOf(resourceOf(b)));
}

function namesRepository(scope: string): boolean {
  return /^repository(?:\([^)]*\))?:/.test(scope);
}

/** A name may contain a colon (`host:port/path`): the first one ends the type, the last one begins the actions. */
function resourceAndActions(scope: string): { resource: string; actions: string[] } | undefined {
  const first = scope.indexOf(':');
  const last = scope.lastIndexOf(':');
  if (first === last) return undefined;
  const actions = scope.slice(last + 1).split(',');
  return { resource: scope.slice(0, last), actions: actions.filter((action) => action !== '') };
}
