import { spawnSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { homeDirectory, resolveUser } from '../../src/runtime/user.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

const passwd = `# comment
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1::/:/bin/false

www-data:x:33:33:www:/var/www:/bin/sh
broken line
nouid:x:::
1003:x:44:44:a name that looks like a number:/:/bin/sh
web:x:1000:1001:Web User:/srv/web:/bin/sh
`;
const group = `root:x:0:root
adm:x:4:web,daemon
www-data:x:33:
staff:x:50:web
wheel:x:10:root,webber
nogid:x::web
`;

async function image(files: Record<string, string> = { 'etc/passwd': passwd, 'etc/group': group }): Promise<string> {
  const rootfs = await temporaryFolder();
  mkdirSync(path.join(rootfs, 'etc'));
  for (const [name, content] of Object.entries(files)) writeFileSync(path.join(rootfs, name), content);
  return rootfs;
}

describe('resolveUser', () => {
  test.each([
    ['', { uid: 0, gid: 0, additionalGids: [0, 10] }],
    ['root', { uid: 0, gid: 0, additionalGids: [0, 10] }],
    ['0', { uid: 0, gid: 0, additionalGids: [0, 10] }],
    ['www-data', { uid: 33, gid: 33, additionalGids: [] }],
    ['web', { uid: 1000, gid: 1001, additionalGids: [4, 50] }],
    ['1000', { uid: 1000, gid: 1001, additionalGids: [4, 50] }],
    ['4242', { uid: 4242, gid: 0, additionalGids: [] }],
    ['1003', { uid: 1003, gid: 0, additionalGids: [] }],
    ['web:staff', { uid: 1000, gid: 50, additionalGids: [] }],
    ['web:7', { uid: 1000, gid: 7, additionalGids: [] }],
    ['4242:staff', { uid: 4242, gid: 50, additionalGids: [] }],
    ['4242:4343', { uid: 4242, gid: 4343, additionalGids: [] }],
    ['web:', { uid: 1000, gid: 1001, additionalGids: [4, 50] }],
    [':staff', { uid: 0, gid: 50, additionalGids: [] }],
    ['2147483647', { uid: 2147483647, gid: 0, additionalGids: [] }],
  ])('%j', async (user, expected) => {
    expect(resolveUser(await image(), user)).toEqual(expected);
  });

  test.each([
    ['nobody', 'there is no user "nobody" in its /etc/passwd'],
    ['nobody:staff', 'there is no user "nobody"'],
    ['web:nogroup', 'there is no group "nogroup" in its /etc/group'],
    ['nouid', 'there is no user "nouid"'],
    ['2147483648', 'ids end at 2147483647'],
    ['0:4294967296', 'ids end at 2147483647'],
    ['-1', 'there is no user "-1"'],
    ['web:staff:x', 'there is no group "staff:x"'],
  ])('%j is refused', async (user, reason) => {
    const rootfs = await image();
    expect(() => resolveUser(rootfs, user)).toThrow(reason);
    expect(() => resolveUser(rootfs, user)).toThrow(expect.objectContaining({ code: 'ERR_LADING_RUNTIME_USER' }));
  });

  test('an image without /etc/passwd has root and numbers', async () => {
    const rootfs = await image({});
    expect(resolveUser(rootfs, '')).toEqual({ uid: 0, gid: 0, additionalGids: [] });
    expect(resolveUser(rootfs, '7:8')).toEqual({ uid: 7, gid: 8, additionalGids: [] });
    expect(() => resolveUser(rootfs, 'root')).toThrow('there is no user "root"');
  });

  test('a symlink of the image does not read the file of the node', async () => {
    const rootfs = await image({ 'etc/real': 'root:x:0:77::/:\n' });
    symlinkSync('/etc/real', path.join(rootfs, 'etc/passwd'));
    expect(resolveUser(rootfs, 'root').gid).toBe(77);
    const other = await image({});
    symlinkSync('/proc/self/status', path.join(other, 'etc/passwd'));
    expect(resolveUser(other, '0').gid).toBe(0);
  });

  test('a FIFO does not block, a huge file is not read', async () => {
    const rootfs = await image({});
    expect(spawnSync('mkfifo', [path.join(rootfs, 'etc/passwd')]).status).toBe(0);
    expect(resolveUser(rootfs, '5').uid).toBe(5);
    const huge = await image({ 'etc/passwd': 'root:x:0:9::/:\n'.padEnd(17 * 1024 * 1024, '\n') });
    expect(resolveUser(huge, '0').gid).toBe(0);
  });
});

test('homeDirectory', async () => {
  const rootfs = await image();
  expect(homeDirectory(rootfs, 1000)).toBe('/srv/web');
  expect(homeDirectory(rootfs, 4242)).toBe('/');
});
