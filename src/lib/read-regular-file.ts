import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs';
import { errorCode } from './errors.ts';

/** Opening a symlink that must not be followed, and a socket. */
const notAFile = new Set(['ELOOP', 'ENXIO']);

/**
 * The text of a file; undefined if the name has something else: a fifo or a terminal would be waited for without end.
 * @throws Error of open(2) or read(2), ENOENT if there is nothing
 */
export function readRegularFile(path: string): string | undefined {
  const fd = open(path);
  if (fd === undefined) return undefined;
  try {
    return fstatSync(fd).isFile() ? readFileSync(fd, 'utf8') : undefined;
  } finally {
    closeSync(fd);
  }
}

function open(path: string): number | undefined {
  try {
    return openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    if (notAFile.has(errorCode(error) ?? '')) return undefined;
    throw error;
  }
}
