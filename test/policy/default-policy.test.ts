import { expect, test } from 'vitest';
import { defaultPullPolicy } from '../../src/policy/index.ts';

const digest = `sha256:${'0'.repeat(64)}`;

test.each([
  ['app', 'Always', 'no tag means :latest, and :latest means Always'],
  ['app:latest', 'Always', 'the tag :latest means Always'],
  ['localhost:5000/app', 'Always', 'no tag means :latest, and :latest means Always'],
  [`app:latest@${digest}`, 'Always', 'the tag :latest means Always, even beside a digest'],
  ['app:1.2', 'IfNotPresent', 'the tag :1.2 is not :latest, and any other tag means IfNotPresent'],
  ['localhost:5000', 'IfNotPresent', 'the tag :5000 is not :latest, and any other tag means IfNotPresent'],
  [`app:1.2@${digest}`, 'IfNotPresent', 'the tag :1.2 is not :latest, and any other tag means IfNotPresent'],
  ['app:LATEST', 'IfNotPresent', 'the tag :LATEST is not :latest (case counts), and any other tag means IfNotPresent'],
  [`app@${digest}`, 'IfNotPresent', 'a digest without a tag means IfNotPresent'],
  ['App', 'IfNotPresent', 'an image name that cannot be read means IfNotPresent'],
  ['', 'IfNotPresent', 'no image means IfNotPresent'],
])('%s: %s, because %s', (image, policy, rule) => {
  expect(defaultPullPolicy(image)).toEqual({ policy, origin: 'defaulted', rule });
  expect(defaultPullPolicy(image, '')).toEqual({ policy, origin: 'defaulted', rule });
});

test('a written policy is never changed, not even one that does not exist', () => {
  for (const policy of ['Always', 'Never', 'IfNotPresent', 'Sometimes']) {
    expect(defaultPullPolicy('app:latest', policy)).toMatchObject({ policy, origin: 'written' });
  }
});
