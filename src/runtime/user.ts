import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs';
import { LadingError } from '../lib/errors.ts';
import type { UserIds } from './container.ts';
import { pathInRootfs } from './rootfs-path.ts';

/** The kernel's ids are 32 bits, but −1 means "no change", and runtimes take them as signed. */
const maxId = 0x7fffffff;
/** More than any real user list, and little enough to read whole. */
const maxFileBytes = 16 * 1024 * 1024;

interface PasswdEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

/**
 * Which ids `user` means in an image: `name`, `uid`, `name:group`, `uid:gid` and their mixtures; empty means root. A
 * number needs no entry in /etc/passwd; its group is then 0. Without a group part the groups are those that /etc/group
 * lists the user in.
 * @see https://github.com/opencontainers/image-spec/blob/main/config.md#properties `config.User`
 * @throws LadingError `ERR_LADING_RUNTIME_USER` for a name that the image does not have, or a number out of range
 */
export function resolveUser(rootfs: string, user: string): UserIds {
  const [userText = '', groupText = ''] = splitAtFirst(user, ':');
  const passwd = readPasswd(rootfs);
  const entry = findUser(passwd, userText || '0');
  const uid = entry?.uid ?? numericId(userText || '0', user);
  if (uid === undefined) {
    throw unknown(user, `there is no user ${JSON.stringify(userText)} in its /etc/passwd`);
  }
  const groups = readGroups(rootfs);
  if (groupText === '') {
    const additionalGids = entry
      ? groups.filter(({ members }) => members.includes(entry.name)).map(({ gid }) => gid)
      : [];
    return { uid, gid: entry?.gid ?? 0, additionalGids: [...new Set(additionalGids)] };
  }
  const gid = numericId(groupText, user) ?? groups.find(({ name }) => name === groupText)?.gid;
  if (gid === undefined) throw unknown(user, `there is no group ${JSON.stringify(groupText)} in its /etc/group`);
  return { uid, gid, additionalGids: [] };
}

/** The user's home directory by the image's /etc/passwd, `/` for users that are not in it. */
export function homeDirectory(rootfs: string, uid: number): string {
  return readPasswd(rootfs).find((entry) => entry.uid === uid)?.home || '/';
}

/** What looks like a number is one, even if there is a user of that name. */
function findUser(passwd: readonly PasswdEntry[], text: string): PasswdEntry | undefined {
  return isNumeric(text) ? passwd.find(({ uid }) => uid === Number(text)) : passwd.find(({ name }) => name === text);
}

function numericId(text: string, user: string): number | undefined {
  if (!isNumeric(text)) return undefined;
  if (Number(text) > maxId) throw unknown(user, `ids end at ${maxId}`);
  return Number(text);
}

function isNumeric(text: string): boolean {
  return /^[0-9]+$/.test(text);
}

function unknown(user: string, reason: string): LadingError {
  return new LadingError('ERR_LADING_RUNTIME_USER', `the image cannot run as user ${JSON.stringify(user)}: ${reason}`, {
    hint: 'Set runAsUser (a number) in the pod, or build the image with a user that it has.',
    data: { user },
  });
}

function readPasswd(rootfs: string): PasswdEntry[] {
  return readLines(rootfs, '/etc/passwd').flatMap((fields) => {
    const [name = '', , uid = '', gid = '', , home = ''] = fields;
    return isNumeric(uid) && isNumeric(gid) ? [{ name, uid: Number(uid), gid: Number(gid), home }] : [];
  });
}

function readGroups(rootfs: string): GroupEntry[] {
  return readLines(rootfs, '/etc/group').flatMap((fields) => {
    const [name = '', , gid = '', members = ''] = fields;
    return isNumeric(gid) ? [{ name, gid: Number(gid), members: members.split(',').filter(Boolean) }] : [];
  });
}

/** Fields of the lines of a file of the image; none if it is not there or is no regular file. */
function readLines(rootfs: string, path: string): string[][] {
  const text = readImageFile(rootfs, path);
  return text
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
    .map((line) => line.split(':'));
}

/** Images are not trusted: a symlink stays inside, a FIFO does not block, and a huge file is not read whole. */
function readImageFile(rootfs: string, path: string): string {
  let file: number;
  try {
    file = openSync(pathInRootfs(rootfs, path), constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return '';
    throw error;
  }
  try {
    const stats = fstatSync(file);
    if (!stats.isFile() || stats.size > maxFileBytes) return '';
    const buffer = Buffer.alloc(stats.size);
    return buffer.subarray(0, readSync(file, buffer)).toString();
  } finally {
    closeSync(file);
  }
}

function splitAtFirst(text: string, separator: string): [string, string] {
  const at = text.indexOf(separator);
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
}
