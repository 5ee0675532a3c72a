import { mkdirSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { pathInRootfs } from '../../src/runtime/rootfs-path.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

test('symlinks and dots stay inside', async () => {
  const rootfs = await temporaryFolder();
  mkdirSync(path.join(rootfs, 'usr/lib'), { recursive: true });
  const links = {
    lib: 'usr/lib',
    abs: '/usr/lib',
    up: '../../../../usr',
    outside: '/etc/passwd',
    'usr/back': '../lib/x',
  };
  for (const [name, target] of Object.entries(links)) symlinkSync(target, path.join(rootfs, name));
  const found = (text: string) => path.relative(rootfs, pathInRootfs(rootfs, text));
  expect(found('/lib/a/b')).toBe('usr/lib/a/b');
  expect(found('/abs/a')).toBe('usr/lib/a');
  expect(found('up/lib')).toBe('usr/lib');
  expect(found('/outside')).toBe('etc/passwd');
  expect(found('/usr/back')).toBe('usr/lib/x');
  expect(found('/../../etc/./passwd')).toBe('etc/passwd');
  expect(found('/lib/../lib')).toBe('usr/lib');
  expect(found('/')).toBe('');
});

test('a loop is an error', async () => {
  const rootfs = await temporaryFolder();
  symlinkSync('/b', path.join(rootfs, 'a'));
  symlinkSync('/a', path.join(rootfs, 'b'));
  expect(() => pathInRootfs(rootfs, '/a/x')).toThrow('ELOOP');
});
