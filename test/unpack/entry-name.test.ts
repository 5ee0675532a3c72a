import { describe, expect, test } from 'vitest';
import { classifyName, cleanLinkTarget } from '../../src/unpack/entry-name.ts';

const deep = (bytes: number) => Array.from({ length: Math.ceil(bytes / 200) }, () => 'd'.repeat(199)).join('/');

describe('names of entries', () => {
  test.each([
    ['a//./b/../c/', { kind: 'entry', components: ['a', 'c'] }],
    ['/', { kind: 'skip' }],
    ['a/..', { kind: 'skip' }],
    ['.wh.a', { kind: 'whiteout', components: ['a'] }],
    ['d/.wh..hidden', { kind: 'whiteout', components: ['d', '.hidden'] }],
    ['.wh..wh..opq', { kind: 'opaque', components: [] }],
    ['./d/.wh..wh..opq/', { kind: 'opaque', components: ['d'] }],
    ['.wh..wh..opq/x', { kind: 'skip' }],
    ['.wh..wh.plnk/.wh..wh..opq', { kind: 'skip' }],
    ['d/.wh..wh.aufs', { kind: 'skip' }],
    ['.wh', { kind: 'entry', components: ['.wh'] }],
    ['x.wh.y', { kind: 'entry', components: ['x.wh.y'] }],
    ['.whx', { kind: 'entry', components: ['.whx'] }],
    ['.wh.a/../b', { kind: 'entry', components: ['b'] }],
    [`.wh.${'n'.repeat(255)}`, { kind: 'whiteout', components: ['n'.repeat(255)] }],
  ])('%s', (name, expected) => {
    expect(classifyName(name)).toEqual(expected);
  });

  test.each([
    ['..', 'unsafe-path'],
    ['/../x', 'unsafe-path'],
    ['a/../../.wh.x', 'unsafe-path'],
    ['.wh.', 'bad-whiteout'],
    ['.wh..', 'bad-whiteout'],
    ['d/.wh...', 'bad-whiteout'],
    ['.wh.d/f', 'bad-whiteout'],
    ['.wh.d/.wh.f', 'bad-whiteout'],
    ['n'.repeat(256), 'name-too-long'],
    [`.wh.${'n'.repeat(256)}`, 'name-too-long'],
    [`${'n'.repeat(256)}/.wh..wh..opq`, 'name-too-long'],
    [deep(4200), 'name-too-long'],
  ])('%s is refused', (name, errorClass) => {
    expect(() => classifyName(name)).toThrow(expect.objectContaining({ class: errorClass }));
  });

  test('a path of 4,095 bytes is the longest', () => {
    const name = deep(4000);
    const longest = `${name}/${'e'.repeat(4095 - name.length - 1)}`;
    expect(classifyName(longest).kind).toBe('entry');
    expect(() => classifyName(`${longest}e`)).toThrow(expect.objectContaining({ class: 'name-too-long' }));
    expect(classifyName(`${'./'.repeat(3000)}short`).kind).toBe('entry');
  });
});

test('targets of hardlinks', () => {
  expect(cleanLinkTarget('l', '/a/./b')).toEqual(['a', 'b']);
  expect(cleanLinkTarget('l', '/')).toEqual([]);
  expect(cleanLinkTarget('l', '.wh..wh.plnk/1.2')).toBeUndefined();
  expect(() => cleanLinkTarget('l', '../a')).toThrow(expect.objectContaining({ class: 'unsafe-path' }));
});
