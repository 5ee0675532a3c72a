import { describe, expect, test } from 'vitest';
import { decidePull, looksAtNode, type PullFacts } from '../../src/policy/index.ts';

/** The decision table of pull-policy.md section 4, up to the registry's answer. */
const table: readonly [PullFacts, string][] = [
  [{ policy: 'Always', present: 'unknown' }, 'pull'],
  [{ policy: 'Always', present: 'unknown', inBackOff: true }, 'ImagePullBackOff'],
  [{ policy: 'Always', present: true }, 'pull'],
  [{ policy: 'Always', present: true, inBackOff: true }, 'ImagePullBackOff'],
  [{ policy: 'IfNotPresent', present: 'unknown' }, 'ImageInspectError'],
  [{ policy: 'IfNotPresent', present: true }, 'use-local'],
  [{ policy: 'IfNotPresent', present: true, verified: true, inBackOff: true }, 'use-local'],
  [{ policy: 'IfNotPresent', present: true, verified: false }, 'pull'],
  [{ policy: 'IfNotPresent', present: true, verified: false, inBackOff: true }, 'ImagePullBackOff'],
  [{ policy: 'IfNotPresent', present: false }, 'pull'],
  [{ policy: 'IfNotPresent', present: false, inBackOff: true }, 'ImagePullBackOff'],
  [{ policy: 'Never', present: 'unknown' }, 'ImageInspectError'],
  [{ policy: 'Never', present: true }, 'use-local'],
  [{ policy: 'Never', present: true, verified: true, inBackOff: true }, 'use-local'],
  [{ policy: 'Never', present: true, verified: false }, 'ErrImageNeverPull'],
  [{ policy: 'Never', present: true, verified: false, inBackOff: true }, 'ErrImageNeverPull'],
  [{ policy: 'Never', present: false }, 'ErrImageNeverPull'],
  [{ policy: 'Never', present: false, inBackOff: true }, 'ErrImageNeverPull'],
  [{ policy: '', present: 'unknown' }, 'pull'],
  [{ policy: 'Sometimes', present: true, inBackOff: true }, 'ImagePullBackOff'],
];

describe('decidePull', () => {
  test.each(table)('%o: %s', (facts, expected) => {
    const { action, error, reasons } = decidePull(facts);
    expect(error ?? action).toBe(expected);
    expect(action === 'refuse').toBe(error !== undefined);
    expect(reasons.length).toBeGreaterThan(0);
  });

  test('a name that cannot be read comes before everything else', () => {
    for (const policy of ['Always', 'IfNotPresent', 'Never']) {
      const decision = decidePull({ policy, present: true, inBackOff: true, nameError: 'invalid reference format' });
      expect(decision).toEqual({
        action: 'refuse',
        error: 'InvalidImageName',
        reasons: [{ fact: 'name-invalid', text: 'The image name cannot be read: invalid reference format.' }],
      });
    }
  });

  test('the reasons name the policy, what the node has, and the back-off', () => {
    const facts = (input: PullFacts) => decidePull(input).reasons.map(({ fact }) => fact);
    expect(facts({ policy: 'Always', present: 'unknown' })).toEqual(['policy-always']);
    expect(facts({ policy: 'IfNotPresent', present: true })).toEqual(['policy-if-not-present', 'node-present']);
    expect(facts({ policy: 'IfNotPresent', present: false, inBackOff: true })).toEqual([
      'policy-if-not-present',
      'node-absent',
      'back-off',
    ]);
    expect(facts({ policy: 'Never', present: true, verified: false })).toEqual(['policy-never', 'node-not-verified']);
    expect(facts({ policy: '', present: 'unknown' })).toEqual(['policy-unknown']);
  });
});

test('only IfNotPresent and Never look at the node', () => {
  expect(['Always', 'IfNotPresent', 'Never', ''].filter(looksAtNode)).toEqual(['IfNotPresent', 'Never']);
});
