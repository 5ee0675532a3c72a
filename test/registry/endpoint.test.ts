import { describe, expect, test } from 'vitest';
import { credentialRegistry, isLoopback, namespaceOf, upstreamOf } from '../../src/registry/endpoint.ts';
import { realmProblem } from '../../src/registry/realm-check.ts';

test('Docker Hub is asked at its API host, and is the same registry there', () => {
  const hub = upstreamOf('docker.io');
  expect(hub).toMatchObject({ scheme: 'https', host: 'registry-1.docker.io', path: '/v2' });
  expect(hub.connection.certificates).toBe('verified');
  expect([namespaceOf(hub), credentialRegistry(hub)]).toEqual([undefined, 'docker.io']);
});

test('a mirror is another registry, with credentials of its own', () => {
  const mirror = { registry: 'docker.io', host: 'mirror.test:5000' };
  expect([namespaceOf(mirror), credentialRegistry(mirror)]).toEqual(['docker.io', 'mirror.test:5000']);
  expect(credentialRegistry({ registry: 'a.test', host: 'registry-1.docker.io' })).toBe('docker.io');
});

test('names that merely look local are not', () => {
  for (const host of ['127.0.0.1.test', 'localhost.test', '128.0.0.1', '10.0.0.1', '::2']) {
    expect(isLoopback(host)).toBe(false);
  }
});

describe('where a registry may send for a token', () => {
  const problem = (realm: string, registry: string) => realmProblem(new URL(realm), new URL(registry));

  test('anywhere public, with https for an https registry', () => {
    expect(problem('https://auth.test/token', 'https://registry.test')).toBeUndefined();
    expect(problem('http://auth.test/token', 'https://registry.test')).toMatch(/not https/);
    expect(problem('http://auth.test/token', 'http://127.0.0.1:5000')).toBeUndefined();
  });

  test('not to an internal address that is not its own', () => {
    for (const host of ['127.0.0.1', 'localhost', '10.1.2.3', '192.168.0.1', '169.254.169.254', '[::1]', '[fd00::1]']) {
      expect(problem(`https://${host}/token`, 'https://registry.test')).toMatch(/internal/);
    }
    expect(problem('https://[::ffff:10.0.0.1]/token', 'https://registry.test')).toMatch(/internal/);
    expect(problem('https://10.1.2.3:8443/token', 'https://10.1.2.3')).toBeUndefined();
    expect(problem('http://127.0.0.1:5001/token', 'http://localhost:5000')).toBeUndefined();
  });
});
