import { fstatSync } from 'node:fs';
import type { LayerFacts } from '../lib/layer-facts.ts';
import { encodeTimes } from '../lib/libc.ts';
import { chmodFd, chownFd, setTimesFd, setXattrFd } from '../lib/libc-at.ts';
import { systemError } from '../lib/libc-library.ts';
import { clearXattrs, getXattr, listXattrs } from './attributes.ts';
import { hostError } from './errors.ts';

/** Whether an extended attribute in a layer's directory belongs to the image, and not to overlayfs or the host. */
export function isImageXattr(name: string, marks: LayerFacts['marks']): boolean {
  if (name.startsWith('trusted.') || name === 'security.selinux') return false;
  return !(marks === 'user' && name.startsWith('user.overlay.'));
}

/**
 * Gives one open file or directory the owner, extended attributes, mode and modification time of another; what it had
 * before goes away (P1).
 */
export function copyAttributes(fromFd: number, toFd: number, path: string, marks: LayerFacts['marks']): void {
  const { uid, gid, mode, mtimeNs } = fstatSync(fromFd, { bigint: true });
  check(chownFd(toFd, Number(uid), Number(gid)), 'chown', path);
  clearXattrs(toFd, (name) => !isImageXattr(name, marks));
  for (const name of listXattrs(fromFd)) {
    if (!isImageXattr(name, marks)) continue;
    const value = getXattr(fromFd, name);
    if (value) check(setXattrFd(toFd, name, value), 'setxattr', path);
  }
  check(chmodFd(toFd, Number(mode) & 0o7777), 'chmod', path);
  check(setTimesFd(toFd, timesOf(mtimeNs)), 'utimensat', path);
}

/** atime = mtime, for the calls of `libc-at.ts`. */
export function timesOf(mtimeNs: bigint): Buffer {
  const sec = mtimeNs / 1_000_000_000n;
  const time = { sec, nsec: Number(mtimeNs - sec * 1_000_000_000n) };
  return encodeTimes(time, time);
}

function check(result: number, call: string, path: string): void {
  if (result < 0) throw hostError(path, systemError(-result, call));
}
