import { expect, test } from 'vitest';
import { LadingError } from '../../src/lib/errors.ts';
import { parseImageName, recordKey, runtimeImage } from '../../src/policy/index.ts';

function thrownBy(run: () => unknown): LadingError {
  try {
    run();
  } catch (error) {
    if (error instanceof LadingError) return error;
  }
  throw new Error('nothing was thrown');
}

test.each([
  ['', `couldn't parse image name "": invalid reference format`],
  ['a b', `couldn't parse image name "a b": invalid reference format`],
  ['app:"1"', `couldn't parse image name "app:\\"1\\"": invalid reference format`],
  [
    'team/APP',
    `couldn't parse image name "team/APP": invalid reference format: repository name (team/APP) must be lowercase`,
  ],
  ['APP', `couldn't parse image name "APP": invalid reference format: repository name (library/APP) must be lowercase`],
  [
    'a'.repeat(64),
    `couldn't parse image name "${'a'.repeat(64)}": invalid repository name (${'a'.repeat(64)}), cannot specify 64-byte hexadecimal strings`,
  ],
  [`app@md5:${'0'.repeat(32)}`, `couldn't parse image name "app@md5:${'0'.repeat(32)}": unsupported digest algorithm`],
])('the error for %j is the text of the kubelet', (image, message) => {
  for (const parse of [parseImageName, runtimeImage]) {
    const error = thrownBy(() => parse(image));
    expect(error.code).toBe('InvalidImageName');
    expect(error.message).toBe(message);
    expect(error.hint).toBeTruthy();
  }
});

test('the runtime image keeps what was written and is never normalised', () => {
  expect(runtimeImage('app')).toBe('app:latest');
  expect(runtimeImage('index.docker.io/app')).toBe('index.docker.io/app:latest');
  expect(runtimeImage('latest')).toBe('latest:latest');
  expect(runtimeImage('localhost:5000')).toBe('localhost:5000');
});

test('the record key of an image is not normalised, and may be 64 hex digits', () => {
  expect(recordKey('index.docker.io/App'.toLowerCase())).toBe('index.docker.io/app');
  expect(recordKey('REG/app:1')).toBe('REG/app');
  expect(recordKey('a'.repeat(64))).toBe('a'.repeat(64));
  expect(thrownBy(() => recordKey('App')).code).toBe('InvalidImageName');
  expect(thrownBy(() => recordKey(`app@md5:${'0'.repeat(32)}`)).message).toContain('unsupported digest algorithm');
  expect(thrownBy(() => recordKey('a'.repeat(256))).message).toContain('not be more than 255 characters');
});
