import { existsSync, readFileSync } from 'node:fs';
import { copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';

const busybox = (process.env.PATH ?? '')
  .split(path.delimiter)
  .concat('/bin', '/usr/bin', '/usr/sbin')
  .map((folder) => path.join(folder, 'busybox'))
  .find((file) => existsSync(file));

/** Why tests cannot make a root file system on this machine, undefined where they can: the reason for a skip. */
export const busyboxMissing: string | undefined =
  busybox === undefined || !isStatic(busybox)
    ? 'no statically linked busybox is installed (Debian and Ubuntu: apt-get install busybox-static)'
    : undefined;

const applets = [
  'cat',
  'chmod',
  'dd',
  'echo',
  'env',
  'false',
  'head',
  'hostname',
  'id',
  'ls',
  'mknod',
  'mkdir',
  'mount',
];
const moreApplets = ['ps', 'pwd', 'seq', 'sh', 'sleep', 'tail', 'touch', 'tr', 'true', 'unshare', 'wc', 'yes'];

/** A small root file system in a new folder `target`, with the users root, web (1000:1001) and the group staff (50). */
export async function makeBusyboxRootfs(target: string): Promise<void> {
  for (const folder of ['bin', 'etc', 'tmp']) await mkdir(path.join(target, folder), { recursive: true });
  await copyFile(busybox!, path.join(target, 'bin/busybox'));
  for (const applet of [...applets, ...moreApplets]) await symlink('busybox', path.join(target, 'bin', applet));
  await writeFile(
    path.join(target, 'etc/passwd'),
    'root:x:0:0:root:/root:/bin/sh\nweb:x:1000:1001:Web:/srv/web:/bin/sh\n',
  );
  await writeFile(path.join(target, 'etc/group'), 'root:x:0:root\nwebs:x:1001:\nstaff:x:50:web\n');
}

/** An ELF file that names no interpreter. */
function isStatic(file: string): boolean {
  const bytes = readFileSync(file);
  const headers = Number(bytes.readBigUInt64LE(32));
  const [size, count] = [bytes.readUInt16LE(54), bytes.readUInt16LE(56)];
  const interpreter = 3;
  return Array.from({ length: count }, (_, index) => bytes.readUInt32LE(headers + index * size)).every(
    (type) => type !== interpreter,
  );
}
