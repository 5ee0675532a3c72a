import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { tarHeader, tarPadding, writeTar } from '../../src/lib/tar-writer.ts';
import { parseHeader } from '../../src/unpack/tar-header.ts';

test('GNU tar lists what was written', () => {
  const archive = writeTar([
    { path: 'bin', mode: 0o755 },
    { path: 'bin/hello', mode: 0o755, content: Buffer.from('hello') },
    { path: 'empty', mode: 0o600, content: Buffer.alloc(0) },
  ]);
  const list = execFileSync('tar', ['tvf', '-', '--utc', '--full-time'], { input: archive, encoding: 'utf8' });
  expect(list.trimEnd().split('\n')).toEqual([
    'drwxr-xr-x root/root         0 1970-01-01 00:00:00 bin/',
    '-rwxr-xr-x root/root         5 1970-01-01 00:00:00 bin/hello',
    '-rw------- root/root         0 1970-01-01 00:00:00 empty',
  ]);
});

test.each([99, 100, 101, 141, 255, 984, 985, 986, 5000])('a path of %i bytes', (length) => {
  const path = `blobs/${'x'.repeat(length - 'blobs/'.length)}`;
  const archive = writeTar([
    { path, mode: 0o644, content: Buffer.from('long') },
    { path: `${path.slice(0, -1)}d`, mode: 0o755 },
    { path: 'after', mode: 0o644, content: Buffer.from('short') },
  ]);
  const list = execFileSync('tar', ['tf', '-'], { input: archive, encoding: 'utf8' });
  expect(list.trimEnd().split('\n')).toEqual([path, `${path.slice(0, -1)}d/`, 'after']);
  expect(execFileSync('tar', ['xOf', '-', path], { input: archive, encoding: 'utf8' })).toBe('long');
});

test.each([0, 1, 511, 512, 8 ** 11 - 1, 8 ** 11, 2 ** 45])('a size of %i bytes can be read again', (size) => {
  const header = Buffer.from(tarHeader({ path: 'x', mode: 0o644, size }));
  expect(parseHeader(header)).toMatchObject({ name: 'x', size, mode: 0o644 });
  expect((size + tarPadding(size).byteLength) % 512).toBe(0);
});
