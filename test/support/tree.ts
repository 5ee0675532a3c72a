import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { lgetxattr, llistxattr } from '../../src/lib/libc.ts';

/** One line per path, so that a difference between two trees reads well in a test's output. */
export interface TreeOptions {
  /** Paths (relative, latin1) whose modification time is not compared. */
  readonly ignoreTimes?: (path: string) => boolean;
}

/**
 * Everything that a container can see of a folder's tree, the root itself left out: type, mode, owner, time in
 * nanoseconds, device, link target, hard links, extended attributes, contents.
 */
export function describeTree(root: string, options: TreeOptions = {}): string[] {
  const firstNames = new Map<bigint, string>();
  const lines: string[] = [];
  const visit = (folder: Buffer, prefix: string) => {
    const names = readdirSync(folder, { encoding: 'buffer' }).sort(Buffer.compare);
    for (const name of names) {
      const full = Buffer.concat([folder, Buffer.from('/'), name]);
      const path = prefix + name.toString('latin1');
      const stat = lstatSync(full, { bigint: true });
      const type = typeOf(stat);
      const parts = [path, type, (stat.mode & 0o7777n).toString(8), `${stat.uid}:${stat.gid}`];
      if (!options.ignoreTimes?.(path)) parts.push(`mtime=${stat.mtimeNs}`);
      if (type === 'symlink') parts.push(`-> ${readlinkSync(full, { encoding: 'latin1' })}`);
      if (type === 'char' || type === 'block') parts.push(`rdev=${stat.rdev}`);
      if (type === 'file')
        parts.push(`size=${stat.size}`, createHash('sha256').update(readFileSync(full)).digest('hex'));
      if (type !== 'dir' && stat.nlink > 1n) {
        const first = firstNames.get(stat.ino) ?? path;
        firstNames.set(stat.ino, first);
        parts.push(`nlink=${stat.nlink} same-as=${first}`);
      }
      for (const attribute of llistxattr(full).map(String).sort()) {
        if (/^(trusted|user)\.overlay\.|^security\.selinux$|^user\.rootlesscontainers$/.test(attribute)) continue;
        parts.push(`${attribute}=${lgetxattr(full, attribute)?.toString('hex')}`);
      }
      lines.push(parts.join(' '));
      if (type === 'dir') visit(full, `${path}/`);
    }
  };
  visit(Buffer.from(root), '');
  return lines;
}

function typeOf(stat: ReturnType<typeof lstatSync> & object): string {
  if (stat.isDirectory()) return 'dir';
  if (stat.isFile()) return 'file';
  if (stat.isSymbolicLink()) return 'symlink';
  if (stat.isCharacterDevice()) return 'char';
  if (stat.isBlockDevice()) return 'block';
  return stat.isFIFO() ? 'fifo' : 'socket';
}
