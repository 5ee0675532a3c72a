import { lstatSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** As the kernel: more symlinks than this in one path are a loop. */
const maxSymlinks = 40;

/**
 * Where `path` leads for a process whose root is `rootfs`: symlinks are followed, absolute ones start at `rootfs`
 * again, and `..` does not leave it. Parts that do not exist stay as they are. Not safe against somebody who changes
 * the tree meanwhile.
 * @throws Error ELOOP
 */
export function pathInRootfs(rootfs: string, path: string): string {
  const done: string[] = [];
  const ahead = parts(path);
  let symlinks = 0;
  for (let part = ahead.shift(); part !== undefined; part = ahead.shift()) {
    if (part === '..') {
      done.pop();
      continue;
    }
    const target = linkTarget(join(rootfs, ...done, part));
    if (target === undefined) {
      done.push(part);
      continue;
    }
    symlinks += 1;
    if (symlinks > maxSymlinks) throw Object.assign(new Error(`ELOOP: too many symlinks, ${path}`), { code: 'ELOOP' });
    if (target.startsWith('/')) done.length = 0;
    ahead.unshift(...parts(target));
  }
  return join(rootfs, ...done);
}

function parts(path: string): string[] {
  return path.split('/').filter((part) => part !== '' && part !== '.');
}

function linkTarget(path: string): string | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ? readlinkSync(path) : undefined;
}
