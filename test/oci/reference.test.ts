import { describe, expect, test } from 'vitest';
import { LadingError } from '../../src/lib/errors.ts';
import {
  familiarReference,
  formatReference,
  parseImageId,
  parseReference,
  pullReference,
  repositoryName,
  trimReference,
} from '../../src/oci/index.ts';

const digest = `sha256:${'0123456789abcdef'.repeat(4)}`;

function errorOf(text: string, parse: (text: string) => unknown = parseReference): LadingError {
  try {
    parse(text);
  } catch (error) {
    if (error instanceof LadingError) return error;
  }
  throw new Error(`${JSON.stringify(text)} was accepted`);
}

describe('parseReference', () => {
  test('gives a frozen value with only the members that are there', () => {
    const reference = parseReference('nginx');
    expect(reference).toEqual({ registry: 'docker.io', repository: 'library/nginx' });
    expect(Object.keys(reference)).toEqual(['registry', 'repository']);
    expect(Object.isFrozen(reference)).toBe(true);
    expect(Object.isFrozen(pullReference(reference))).toBe(true);
  });

  test.each([
    ['', 'InvalidFormat', /nginx:1\.27/],
    ['   ', 'InvalidFormat', /name of an image/],
    ['https://ghcr.io/a/b', 'InvalidFormat', /Leave out https:\/\//],
    ['docker://nginx', 'InvalidFormat', /Leave out docker:\/\//],
    [' nginx', 'InvalidFormat', /no blanks/],
    ['nginx\n', 'InvalidFormat', /no blanks/],
    ['nginx:', 'InvalidFormat', /tag after the colon/],
    ['nginx@', 'InvalidFormat', /digest after the @/],
    [`nginx:${'t'.repeat(129)}`, 'InvalidFormat', /128 characters/],
    ['ghcr.io//a', 'InvalidFormat', /between two slashes/],
    ['ghcr.io/a/', 'InvalidFormat', /between two slashes/],
    ['foo_bar.com:5000/app', 'InvalidFormat', /looks like/],
    ['Foo_bar/app', 'NameContainsUppercase', /did you mean "foo_bar\/app"\?/],
    ['nginx@sha256:abc', 'InvalidFormat', /looks like/],
    [`nginx@${digest}@${digest}`, 'InvalidFormat', /looks like/],
    ['Nginx', 'NameContainsUppercase', /did you mean "nginx"\?/],
    ['ghcr.io/Team/App:V1', 'NameContainsUppercase', /did you mean "ghcr\.io\/team\/app:V1"\?/],
    ['docker.io/Nginx', 'NameContainsUppercase', /did you mean "docker\.io\/nginx"\?/],
    ['a'.repeat(64), 'NameIsIdentifier', /image id/],
    [`ghcr.io/${'a'.repeat(256)}`, 'NameTooLong', /256 characters/],
    [`nginx@md5:${'0'.repeat(32)}`, 'DigestUnsupported', /sha256:/],
    [`nginx@sha256:${'0'.repeat(63)}`, 'DigestInvalidLength', /64/],
    [`nginx@sha256:${'A'.repeat(64)}`, 'DigestInvalidFormat', /lower-case/],
  ])('refuses %j as %s, and says what to do', (text, errorClass, hint) => {
    const error = errorOf(text);
    expect(error.data.class).toBe(errorClass);
    expect(error.code).toBe(`ERR_LADING_REFERENCE_${errorClass.replace(/(?<=[a-z])(?=[A-Z])/g, '_').toUpperCase()}`);
    expect(error.message).toBe(`cannot read the image reference ${JSON.stringify(text)}: ${error.data.detail}`);
    expect(error.hint).toMatch(hint);
  });

  test('takes what looks like a host and is none for a path without a registry, as container tools do', () => {
    const reference = parseReference('foo_bar.com/app');
    expect(reference).toEqual({ registry: '', repository: 'foo_bar.com/app' });
    expect(formatReference(pullReference(reference))).toBe('foo_bar.com/app:latest');
    expect(familiarReference(reference)).toBe('foo_bar.com/app');
  });

  test('answers long hostile texts at once', () => {
    for (const text of [
      `${'a-'.repeat(50_000)}!`,
      `${'a.'.repeat(50_000)}/b!`,
      `a/${'_'.repeat(100_000)}`,
      'a'.repeat(100_000),
    ]) {
      expect(errorOf(text)).toBeInstanceOf(LadingError);
    }
  });
});

describe('forms', () => {
  test('the pull form names exactly one thing to fetch', () => {
    const pull = (text: string) => formatReference(pullReference(parseReference(text)));
    expect(pull('nginx')).toBe('docker.io/library/nginx:latest');
    expect(pull('nginx:1')).toBe('docker.io/library/nginx:1');
    expect(pull(`nginx:1@${digest}`)).toBe(`docker.io/library/nginx@${digest}`);
  });

  test('the familiar form shortens names of Docker Hub only', () => {
    expect(familiarReference(parseReference('docker.io/library/nginx:1'))).toBe('nginx:1');
    expect(familiarReference(parseReference('library/a/b'))).toBe('library/a/b');
    expect(familiarReference(parseReference('ghcr.io/library/nginx'))).toBe('ghcr.io/library/nginx');
  });

  test('normalised text parses to the same reference', () => {
    for (const text of ['nginx', 'a/b:1', '[::1]:5000/x', `REG/x@${digest}`]) {
      const reference = parseReference(text);
      expect(parseReference(formatReference(reference))).toEqual(reference);
    }
  });

  test('the repository has no tag and no digest', () => {
    expect(repositoryName(parseReference(`nginx:1@${digest}`))).toBe('docker.io/library/nginx');
  });
});

test('image ids are 64 hex digits or a digest alone', () => {
  expect(parseImageId('a'.repeat(64))).toBe(`sha256:${'a'.repeat(64)}`);
  expect(parseImageId(digest)).toBe(digest);
  expect(parseImageId('A'.repeat(64))).toBeUndefined();
  expect(parseImageId('nginx')).toBeUndefined();
  expect(parseImageId(`nginx@${digest}`)).toBeUndefined();
});

describe('trimReference', () => {
  test.each([
    ['nginx:1', 'nginx'],
    [`REG/app:1@${digest}`, 'REG/app'],
    ['localhost:5000/app', 'localhost:5000/app'],
    ['a'.repeat(64), 'a'.repeat(64)],
  ])('%s becomes %s', (text, name) => {
    expect(trimReference(text)).toBe(name);
  });

  test('refuses what is no reference', () => {
    expect(errorOf('App', trimReference).data.class).toBe('NameContainsUppercase');
    expect(errorOf('a//b', trimReference).data.class).toBe('InvalidFormat');
    expect(errorOf(`r.io/${'a'.repeat(256)}`, trimReference).data.class).toBe('NameTooLong');
    expect(errorOf(`a@sha256:${'0'.repeat(40)}`, trimReference).data.class).toBe('DigestInvalidLength');
  });
});
