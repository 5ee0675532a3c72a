/** Where the sockets of running nodes are: one per process, named after the node's root and the process. */
import { createHash } from 'node:crypto';
import { realpathSync } from 'node:fs';
import { lstat, mkdir, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { errorCode, LadingError } from '../lib/errors.ts';
import { maxSocketPathBytes, socketFolderVariable } from './socket-folder.ts';

/** The socket of this process for a node. */
export function socketPath(folder: string, root: string): string {
  const path = join(folder, `${prefixOf(root)}${process.pid}.sock`);
  if (Buffer.byteLength(path) > maxSocketPathBytes) {
    throw new LadingError('ERR_LADING_SOCKET', `${path} is too long for the path of a socket`, {
      hint: `Name a folder with a shorter path in ${socketFolderVariable}.`,
    });
  }
  return path;
}

/** The sockets of all processes that run pods on a node, or did when they were killed. */
export async function socketsOf(folder: string, root: string): Promise<string[]> {
  const names = await readdir(folder).catch(() => []);
  if (names.length === 0) return [];
  await requireOwn(folder);
  const prefix = prefixOf(root);
  return names.filter((name) => name.startsWith(prefix) && name.endsWith('.sock')).map((name) => join(folder, name));
}

/** Makes the folder for this user alone. @throws LadingError `ERR_LADING_SOCKET` when it is somebody else's */
export async function makeSocketFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await requireOwn(folder);
}

/** What killed processes left, also for nodes that nobody will ask about again. */
export async function removeDeadSockets(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = /^[0-9a-f]{16}-(\d+)\.sock$/.exec(name)?.[1];
    if (pid !== undefined && !isAlive(Number(pid))) await rm(join(folder, name), { force: true });
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}

/** In `/tmp` anybody may have made it first. */
async function requireOwn(folder: string): Promise<void> {
  const { uid, mode } = await lstat(folder);
  if (uid === process.geteuid!() && (mode & 0o022) === 0) return;
  throw new LadingError('ERR_LADING_SOCKET', `${folder} belongs to somebody else, or others may write to it`, {
    hint: `Remove it, or name another folder in ${socketFolderVariable}.`,
  });
}

function prefixOf(root: string): string {
  let path = resolve(root);
  try {
    path = realpathSync(path);
  } catch {
    // Not there: then nothing runs on it.
  }
  return `${createHash('sha256').update(path).digest('hex').slice(0, 16)}-`;
}
