import { parseChallenges, selectChallenge } from '../../../src/registry/challenge.ts';
import { mergeScopes } from '../../../src/registry/scope.ts';
import { tokenUrl } from '../../../src/registry/token.ts';
import { type Check, unknownKind } from '../vector-table.ts';

export const check: Check = (vector) => {
  if (vector.kind === 'scope-merge') return { actual: mergeScopes(vector.scopes) };
  if (vector.kind !== 'parse') unknownKind(vector.kind);
  const challenges = parseChallenges(vector.headers);
  const chosen = selectChallenge(challenges);
  if (chosen?.scheme !== 'bearer') return { actual: { challenges, selected: chosen?.scheme } };
  const { realm, service, scopes, error } = chosen;
  const url = tokenUrl({ realm, service, scopes, demanded: scopes });
  const token = { endpoint: url.origin + url.pathname, service, scopes, getQuery: [...url.searchParams], error };
  return { actual: { challenges, selected: 'bearer', token } };
};
