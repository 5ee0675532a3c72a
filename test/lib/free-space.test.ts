import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { freeSpace } from '../../src/lib/free-space.ts';
import { mount, umount2, unmountFlags } from '../../src/lib/libc.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const cannotMount = process.platform !== 'linux' || process.getuid?.() !== 0;

test.skipIf(cannotMount).each([
  ['size=1m,nr_inodes=100', { bytes: 1_048_576, inodes: 99, text: ', 1.05MB and 99 inodes are free' }],
  ['size=1m,nr_inodes=0', { bytes: 1_048_576, text: ', 1.05MB are free' }],
  ['size=0,nr_inodes=100', { inodes: 99, text: ', 99 inodes are free' }],
  ['size=0,nr_inodes=0', { text: '' }],
])('of a tmpfs with %s (needs root on Linux)', async (options, expected) => {
  const disk = await temporaryFolder();
  mount('tmpfs', disk, 'tmpfs', 0, options);
  onTestFinished(() => umount2(disk, unmountFlags.detach));
  expect(freeSpace(join(disk, 'not/there'))).toEqual(expected);
});
