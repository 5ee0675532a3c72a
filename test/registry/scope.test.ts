import { expect, test } from 'vitest';
import { demandedFirst, mergeScopes, repositoryScope, scopesToRequest } from '../../src/registry/scope.ts';

test('merging unites the actions of a resource', () => {
  expect(mergeScopes(['repository:b:pull', 'repository:a:push,pull', 'repository:b:push', 'aws'])).toEqual([
    'aws',
    'repository:a:pull,push',
    'repository:b:pull,push',
  ]);
});

test('what the registry demands and what the operation needs are asked for together', () => {
  const needed = [repositoryScope('team/app', 'pull', 'push')];
  expect(scopesToRequest(['repository:team/app:pull'], needed)).toEqual(['repository:team/app:pull,push']);
  expect(scopesToRequest(['aws'], needed)).toEqual(['aws', 'repository:team/app:pull,push']);
  expect(scopesToRequest([], needed)).toEqual(needed);
});

test('a challenge for another repository is honoured as given', () => {
  expect(scopesToRequest(['repository:proxy/team/app:pull'], ['repository:team/app:pull'])).toEqual([
    'repository:proxy/team/app:pull',
  ]);
});

test('demanded scopes come first, since some token servers read one only', () => {
  const scopes = ['repository:a:pull', 'repository:b:pull,push'];
  expect(demandedFirst(scopes, ['repository:b:push'])).toEqual(['repository:b:pull,push', 'repository:a:pull']);
  const demanded = ['repository:c:pull', 'registry:catalog:*', 'aws'];
  expect(demandedFirst(mergeScopes([...scopes, ...demanded]), demanded)).toEqual([...demanded, ...scopes]);
});
