import { expect, test } from 'vitest';
import { parseMountInfo } from '../../src/runtime/mount-info.ts';

test('reads mounts with and without optional fields, and with blanks in their names', () => {
  const text = [
    '22 27 0:21 / /proc rw,relatime - proc proc rw',
    '36 35 98:0 /mnt1 /mnt2/a\\040b\\134c ro,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue',
    '35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory',
    '',
  ].join('\n');
  expect(parseMountInfo(text)).toEqual([
    { root: '/', mountPoint: '/proc', options: ['rw', 'relatime'], type: 'proc', superOptions: ['rw'] },
    {
      root: '/mnt1',
      mountPoint: '/mnt2/a b\\c',
      options: ['ro', 'noatime'],
      type: 'ext3',
      superOptions: ['rw', 'errors=continue'],
    },
    {
      root: '/',
      mountPoint: '/sys/fs/cgroup/memory',
      options: ['rw', 'relatime'],
      type: 'cgroup',
      superOptions: ['rw', 'memory'],
    },
  ]);
});
