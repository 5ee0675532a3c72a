import { fstatSync, readSync } from 'node:fs';
import { constants } from 'node:os';
import { cloneFile, copyRange, seekData, seekHole, truncateFd, writeAllAt } from '../lib/libc-at.ts';
import { systemError } from '../lib/libc-library.ts';
import { chunkBytes } from './byte-source.ts';
import { hostError } from './errors.ts';

const { ENXIO, EINVAL, EXDEV, ENOSYS, EOPNOTSUPP, ENOTTY, EPERM } = constants.errno;

/** Errors with which a file system says that it does not do this. */
const notOffered = new Set([EINVAL, EXDEV, ENOSYS, EOPNOTSUPP, ENOTTY, EPERM].map((errno) => -errno));
const buffer = Buffer.allocUnsafeSlow(chunkBytes);
/** Whether the file systems of this thread's last copy can share blocks, and can copy inside the kernel. */
let canClone = true;
let canCopyRange = true;

/**
 * Copies the content of an open file into an empty one: shared blocks where the file system can (btrfs, xfs), else
 * inside the kernel, else through memory. Holes stay holes.
 */
export function copyContent(fromFd: number, toFd: number, path: string): void {
  const { size, blocks } = fstatSync(fromFd);
  if (size === 0) return;
  if (canClone) {
    const cloned = cloneFile(fromFd, toFd);
    if (cloned === 0) return;
    if (!notOffered.has(cloned)) throw hostError(path, systemError(-cloned, 'ioctl'));
    canClone = false;
  }
  const hasHoles = blocks * 512 < size;
  if (!hasHoles) {
    copyExtent(fromFd, toFd, path, 0, size);
    return;
  }
  for (let end = 0; end < size; ) {
    const start = seekData(fromFd, end);
    if (start === -ENXIO) break;
    if (start < 0) throw hostError(path, systemError(-start, 'lseek'));
    end = Math.min(size, seekHole(fromFd, start));
    copyExtent(fromFd, toFd, path, start, end);
  }
  const result = truncateFd(toFd, size);
  if (result < 0) throw hostError(path, systemError(-result, 'ftruncate'));
}

function copyExtent(fromFd: number, toFd: number, path: string, start: number, end: number): void {
  let position = start;
  while (position < end) {
    const large = end - position > chunkBytes;
    const copied = large && canCopyRange ? copyRange(fromFd, toFd, position, end - position) : 0;
    if (copied > 0) {
      position += copied;
      continue;
    }
    if (copied < 0) {
      if (!notOffered.has(copied)) throw hostError(path, systemError(-copied, 'copy_file_range'));
      canCopyRange = false;
    }
    const length = readSync(fromFd, buffer, 0, Math.min(chunkBytes, end - position), position);
    if (length === 0) return;
    const result = writeAllAt(toFd, buffer.subarray(0, length), position);
    if (result < 0) throw hostError(path, systemError(-result, 'write'));
    position += length;
  }
}
