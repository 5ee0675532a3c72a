import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  type fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
} from 'node:fs';
import { lgetxattr, llistxattr, splitDevice } from '../../src/lib/libc.ts';
import type { CorpusCase, ExpectedEntry } from './corpus.ts';

/** What is wrong with a directory that should be the tree of a case: one line per difference, none if it is right. */
export function compareTree(expect: CorpusCase['expect'], root: string): string[] {
  const found = scanTree(root);
  const wanted = new Map(expect.tree!.map((entry) => [pathOf(entry), entry]));
  if (expect.root) wanted.set('', expect.root);
  const differences: string[] = [];
  for (const [path, entry] of wanted) {
    const actual = found.get(path);
    if (actual) differences.push(...compareEntry(path, entry, actual));
    else if (!entry.optional) differences.push(`${shown(path)}: missing`);
  }
  for (const [path, { type }] of found) {
    if (!wanted.has(path) && path !== '') differences.push(`${shown(path)}: unexpected ${type}`);
  }
  return [...differences, ...compareLinks(wanted, found)];
}

interface FoundEntry {
  readonly type: string;
  readonly mode?: string;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: { readonly sec: number; readonly nsec: number };
  readonly size?: number;
  readonly sha256?: string;
  readonly linknameB64?: string;
  readonly rdev?: readonly [number, number];
  readonly xattrs: Readonly<Record<string, string>>;
  readonly inode: string;
  readonly links: number;
}

const comparedFields = ['mode', 'uid', 'gid', 'mtime', 'size', 'sha256', 'linknameB64', 'rdev'] as const;

function compareEntry(path: string, wanted: ExpectedEntry, found: FoundEntry): string[] {
  if (found.type !== wanted.type) return [`${shown(path)}: type ${found.type}, want ${wanted.type}`];
  const differences: string[] = [];
  for (const field of comparedFields) {
    const want = wanted[field];
    if (want === null || want === undefined) continue;
    const [have, expected] = [JSON.stringify(found[field]), JSON.stringify(want)];
    if (have !== expected) differences.push(`${shown(path)}: ${field} ${have}, want ${expected}`);
  }
  return [...differences, ...compareXattrs(path, wanted, found)];
}

function compareXattrs(path: string, wanted: ExpectedEntry, found: FoundEntry): string[] {
  if (wanted.xattrs === null) return [];
  // The host may label files.
  const maybe = new Set([...(wanted.xattrsMaybe ?? []), 'security.selinux']);
  const differences = Object.entries(wanted.xattrsNot ?? {})
    .filter(([name, value]) => found.xattrs[name] === value)
    .map(([name]) => `${shown(path)}: xattr ${name} was taken from the layer`);
  for (const name of new Set([...Object.keys(wanted.xattrs), ...Object.keys(found.xattrs)])) {
    const [want, have] = [wanted.xattrs[name], found.xattrs[name]];
    if (maybe.has(name) || want === have) continue;
    const problem = have === undefined ? 'missing' : want === undefined ? 'unexpected' : 'differs';
    differences.push(`${shown(path)}: xattr ${name} ${problem}`);
  }
  return differences;
}

function compareLinks(wanted: ReadonlyMap<string, ExpectedEntry>, found: ReadonlyMap<string, FoundEntry>): string[] {
  const groups = new Map<string, FoundEntry[]>();
  const differences: string[] = [];
  for (const [path, { type, hardlinkGroup }] of wanted) {
    const actual = found.get(path);
    if (type === 'dir' || actual === undefined) continue;
    if (hardlinkGroup !== undefined) groups.set(hardlinkGroup, [...(groups.get(hardlinkGroup) ?? []), actual]);
    else if (actual.links !== 1) differences.push(`${shown(path)}: ${actual.links} links, want 1`);
  }
  for (const [group, members] of groups) {
    const isOneInode = new Set(members.map(({ inode }) => inode)).size === 1;
    if (!isOneInode) differences.push(`hardlink group ${group}: not one inode`);
    else if (members[0]!.links !== members.length) {
      differences.push(`hardlink group ${group}: ${members[0]!.links} links, want ${members.length}`);
    }
  }
  return differences;
}

/** Every path below `root`, and the root itself as the empty path; one character per byte. Descends by descriptor. */
function scanTree(root: string): Map<string, FoundEntry> {
  const found = new Map<string, FoundEntry>([['', describe(Buffer.from(root), lstatSync(root, { bigint: true }))]]);
  const visit = (directory: number, path: string) => {
    const names = readdirSync(`/proc/self/fd/${directory}`, { encoding: 'buffer' });
    for (const name of names) {
      const at = Buffer.concat([Buffer.from(`/proc/self/fd/${directory}/`), name]);
      const entryPath = path === '' ? name.toString('latin1') : `${path}/${name.toString('latin1')}`;
      let stat: ReturnType<typeof lstatSync> & object;
      try {
        stat = lstatSync(at, { bigint: true });
      } catch (error) {
        const type = `unreadable (${(error as NodeJS.ErrnoException).code})`;
        found.set(entryPath, { type, xattrs: {}, inode: '', links: 0 });
        continue;
      }
      found.set(entryPath, describe(at, stat as Stat));
      if (!stat.isDirectory()) continue;
      const child = openSync(at, constants.O_DIRECTORY | constants.O_NOFOLLOW);
      try {
        visit(child, entryPath);
      } finally {
        closeSync(child);
      }
    }
  };
  const fd = openSync(root, constants.O_DIRECTORY);
  try {
    visit(fd, '');
  } finally {
    closeSync(fd);
  }
  return found;
}

type Stat = ReturnType<typeof fstatSync> & { mtimeNs: bigint; ino: bigint; rdev: bigint; nlink: bigint; mode: bigint };

function describe(at: Buffer, stat: Stat): FoundEntry {
  const seconds = stat.mtimeNs / 1_000_000_000n;
  const common = {
    mode: (Number(stat.mode) & 0o7777).toString(8).padStart(4, '0'),
    uid: Number(stat.uid),
    gid: Number(stat.gid),
    mtime: { sec: Number(seconds), nsec: Number(stat.mtimeNs - seconds * 1_000_000_000n) },
    xattrs: readXattrs(at),
    inode: `${stat.dev}:${stat.ino}`,
    links: Number(stat.nlink),
  };
  if (stat.isFile()) {
    const sha256 = createHash('sha256').update(readFileSync(at)).digest('hex');
    return { ...common, type: 'file', size: Number(stat.size), sha256 };
  }
  if (stat.isSymbolicLink()) {
    const linknameB64 = readlinkSync(at, { encoding: 'buffer' }).toString('base64');
    return { ...common, type: 'symlink', linknameB64 };
  }
  if (stat.isDirectory()) return { ...common, type: 'dir' };
  if (stat.isFIFO()) return { ...common, type: 'fifo' };
  const { major, minor } = splitDevice(stat.rdev);
  return { ...common, type: stat.isCharacterDevice() ? 'char' : 'block', rdev: [major, minor] };
}

/** What overlayfs keeps for itself, and how XFS lists ACLs a second time. */
const hostXattrs = ['trusted.overlay.', 'trusted.SGI_ACL_'];

function readXattrs(at: Buffer): Record<string, string> {
  let names: Buffer[];
  try {
    names = llistxattr(at);
  } catch {
    return {};
  }
  const xattrs: Record<string, string> = {};
  for (const name of names) {
    const text = name.toString();
    if (hostXattrs.some((prefix) => text.startsWith(prefix))) continue;
    const value = lgetxattr(at, name);
    if (value) xattrs[text] = value.toString('base64');
  }
  return xattrs;
}

function pathOf({ pathB64 }: ExpectedEntry): string {
  return Buffer.from(pathB64, 'base64').toString('latin1');
}

function shown(path: string): string {
  return path === '' ? '.' : JSON.stringify(Buffer.from(path, 'latin1').toString());
}
