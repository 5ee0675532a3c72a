import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { capabilityNumber, defaultCapabilities, grantedCapabilities } from '../../src/runtime/capabilities.ts';

const available = new Set(['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_ADMIN'] as const);

describe('grantedCapabilities', () => {
  test('are those wanted that there are, in order', () => {
    expect(grantedCapabilities(['CAP_NET_ADMIN', 'CAP_SYS_ADMIN', 'CAP_CHOWN'], available)).toEqual([
      'CAP_CHOWN',
      'CAP_NET_ADMIN',
    ]);
    expect(grantedCapabilities(['CAP_ALL'], available)).toEqual([...available]);
    expect(grantedCapabilities([], available)).toEqual([]);
  });

  test('an unknown name is an error', () => {
    expect(() => grantedCapabilities(['CAP_FLY'], available)).toThrow('there is no capability CAP_FLY');
  });
});

test('the default set is the one that Docker documents', () => {
  const mask = defaultCapabilities.reduce((sum, name) => sum | (1n << BigInt(capabilityNumber(name))), 0n);
  expect(mask.toString(16)).toBe('a80425fb');
});

const setpriv = spawnSync('setpriv', ['--list-caps'], { encoding: 'utf8' });

test.skipIf(setpriv.status !== 0)('numbers are those that the system has (needs setpriv)', () => {
  const listed = setpriv.stdout
    .trim()
    .split('\n')
    .map((name) => `CAP_${name.toUpperCase()}`);
  expect(listed.map((name) => capabilityNumber(name as 'CAP_CHOWN'))).toEqual(listed.map((_, number) => number));
});
