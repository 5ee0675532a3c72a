import { closeSync, openSync, writeSync } from 'node:fs';
import type { EntryRecord, EntryType, LayerFacts } from '../lib/layer-facts.ts';
import { entryColumns } from '../lib/layer-facts.ts';
import { fileTypes, mknodat } from '../lib/libc.ts';
import type { OverlaySupport } from '../lib/overlay.ts';
import type { Applier } from './apply.ts';
import { hostError } from './errors.ts';
import { type DirectoryNode, directoriesDeepestFirst, type Inode, nodesParentsFirst, pathIn } from './layer-tree.ts';
import type { Timestamp } from './pax.ts';

/**
 * The end of a layer: whiteouts and opaque marks, which hold wherever they stood in the stream (W1 – W8), then the
 * attributes of directories, deepest first (M4, X5), then what is recorded about the layer.
 */

/** What of `LayerFacts` the tree decides. */
export type TreeFacts = Pick<
  LayerFacts,
  'marks' | 'implied' | 'whiteouts' | 'opaques' | 'fresh' | 'rootOpaque' | 'skipped' | 'warnings' | 'contentBytes'
>;

/** @returns the facts; the entries are written to `entriesFile` as they have to be on disk */
export function finishLayer(applier: Applier, support: OverlaySupport, entriesFile: string): TreeFacts {
  settleWhiteoutParents(applier, applier.root);
  const marks = decideMarks(applier.root);
  const onDisk = support.mode === 'overlay';
  if (onDisk) for (const { parent, name } of marks.whiteouts) makeWhiteout(applier, parent, name);
  const opaqueXattr = onDisk ? `${support.userxattr ? 'user' : 'trusted'}.overlay.opaque` : undefined;
  finishDirectories(applier, marks, opaqueXattr);
  const contentBytes = writeRecord(applier, marks, opaqueXattr, entriesFile);
  return {
    marks: onDisk ? (support.userxattr ? 'user' : 'trusted') : 'none',
    implied: marks.implied.map((node) => node.path),
    whiteouts: marks.whiteouts.map(({ parent, name }) => pathIn(parent, name)),
    opaques: [...marks.opaques].map((node) => node.path),
    fresh: marks.fresh.map((node) => node.path),
    rootOpaque: applier.root.marked,
    skipped: applier.skipped
      .filter((node) => node.parent.children.get(node.name) === node)
      .map(({ parent, name }) => pathIn(parent, name)),
    warnings: [...applier.warnings.values()],
    contentBytes,
  };
}

/** Directories that only whiteouts asked for are made, unless a whiteout takes them away themselves (W1). */
function settleWhiteoutParents(applier: Applier, root: DirectoryNode): void {
  const waiting: DirectoryNode[] = [root];
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    for (const child of [...directory.children.values()]) {
      if (child.kind !== 'directory') continue;
      if (!child.onDisk && directory.whiteouts?.has(child.name)) {
        directory.children.delete(child.name);
        continue;
      }
      applier.materialise(child);
      waiting.push(child);
    }
  }
}

interface Marks {
  /** Names that hide something below: nothing of this layer stands there, and no directory above is opaque (W7). */
  readonly whiteouts: { parent: DirectoryNode; name: string }[];
  readonly opaques: Set<DirectoryNode>;
  readonly fresh: DirectoryNode[];
  readonly implied: DirectoryNode[];
}

function decideMarks(root: DirectoryNode): Marks {
  const marks: Marks = { whiteouts: [], opaques: new Set(), fresh: [], implied: [] };
  const waiting: { node: DirectoryNode; hidesBelow: boolean }[] = [{ node: root, hidesBelow: root.marked }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { node, hidesBelow } = next;
    if (!hidesBelow) {
      for (const name of node.whiteouts ?? []) {
        const child = node.children.get(name);
        if (child === undefined || child.kind === 'skipped') marks.whiteouts.push({ parent: node, name });
      }
    }
    for (const child of node.children.values()) {
      if (child.kind !== 'directory') continue;
      // W4: a whiteout and a directory of one name, in either order.
      const fresh = child.afterOther || node.whiteouts?.has(child.name) === true;
      const opaque = fresh || child.marked;
      if (fresh) marks.fresh.push(child);
      else if (child.attributes === undefined) marks.implied.push(child);
      if (opaque) marks.opaques.add(child);
      waiting.push({ node: child, hidesBelow: hidesBelow || opaque });
    }
  }
  return marks;
}

function makeWhiteout(applier: Applier, parent: DirectoryNode, name: string): void {
  try {
    mknodat(applier.handles.get(parent), Buffer.from(name, 'latin1'), fileTypes.character, 0n);
  } catch (error) {
    throw hostError(pathIn(parent, name), error as NodeJS.ErrnoException);
  }
}

/** The root is always like this (N4), and so is a directory that nobody lists (P2). */
const unlisted = { mode: 0o755, uid: 0, gid: 0, mtime: { sec: 0, nsec: 0 }, xattrs: undefined };

function finishDirectories(
  { root, handles, attributes }: Applier,
  marks: Marks,
  opaqueXattr: string | undefined,
): void {
  const opaqueMark = opaqueXattr === undefined ? undefined : new Map([[opaqueXattr, Buffer.from('y')]]);
  for (const node of directoriesDeepestFirst(root)) {
    const { mode, uid, gid, mtime, xattrs } = node.attributes ?? unlisted;
    const fd = handles.get(node);
    const path = node.path;
    attributes.chownFd(fd, path, uid, gid);
    if (xattrs) attributes.setXattrsFd(fd, path, xattrs);
    if (opaqueMark && marks.opaques.has(node)) attributes.setXattrsFd(fd, path, opaqueMark);
    attributes.chmodFd(fd, path, mode);
    attributes.setTimesFd(fd, path, mtime);
  }
}

/** @returns bytes of all files, each inode once */
function writeRecord({ root, linked }: Applier, marks: Marks, opaqueXattr: string | undefined, path: string): number {
  const fd = openSync(path, 'wx', 0o600);
  const counted = new Set<Inode>();
  let contentBytes = 0;
  let text = '';
  const flush = () => {
    writeSync(fd, text);
    text = '';
  };
  const add = (record: EntryRecord) => {
    text += `${JSON.stringify(entryColumns.map((column) => record[column]))}\n`;
    if (text.length > 65_536) flush();
  };
  try {
    for (const { parent, name, node } of nodesParentsFirst(root)) {
      if (node.kind === 'skipped') continue;
      if (node.kind === 'directory') {
        const own = node.attributes ?? unlisted;
        add(recordOf(node.path, 'dir', own, { size: 0, content: marks.opaques.has(node) ? (opaqueXattr ?? '') : '' }));
        continue;
      }
      const { type, size } = node;
      add(recordOf(pathIn(parent, name), type, { ...node, mtime: node }, { size, content: contentText(node) }));
      if (counted.has(node)) continue;
      if (linked.has(node)) counted.add(node);
      contentBytes += size;
    }
    if (opaqueXattr !== undefined) {
      for (const { parent, name } of marks.whiteouts) {
        add(recordOf(pathIn(parent, name), 'whiteout', unlisted, { size: 0, content: '' }));
      }
    }
    flush();
  } finally {
    closeSync(fd);
  }
  return contentBytes;
}

function recordOf(
  path: string,
  type: EntryType,
  { mode, uid, gid, mtime }: { mode: number; uid: number; gid: number; mtime: Timestamp },
  { size, content }: { size: number; content: string },
): EntryRecord {
  const nanoseconds = mtime.sec === 0 ? `${mtime.nsec}` : `${mtime.sec}${String(mtime.nsec).padStart(9, '0')}`;
  return { path, type, mode, uid, gid, size, mtime: nanoseconds, content };
}

function contentText({ content }: Inode): string {
  return typeof content === 'string' ? content : (content >>> 0).toString(16).padStart(8, '0');
}
