import type { LayerFacts } from '../lib/layer-facts.ts';
import { fileTypes, mknodat } from '../lib/libc.ts';
import type { OverlaySupport } from '../lib/overlay.ts';
import type { Applier } from './apply.ts';
import { recordXattrs, xattrsOfFd } from './attributes.ts';
import { hostError } from './errors.ts';
import type { LayerRecord } from './layer-record.ts';
import {
  type DirectoryNode,
  directoriesDeepestFirst,
  type Inode,
  type LayerTree,
  nodesParentsFirst,
  pathIn,
} from './layer-tree.ts';

/**
 * The end of a layer: whiteouts and opaque marks, which hold wherever they stood in the stream (W1 – W8), then the
 * attributes of directories, deepest first (M4, X5), then what is recorded about the layer.
 */

/** What of `LayerFacts` the tree decides. */
export type TreeFacts = Pick<
  LayerFacts,
  'marks' | 'implied' | 'whiteouts' | 'opaques' | 'fresh' | 'rootOpaque' | 'skipped' | 'warnings' | 'contentBytes'
>;

/** @returns the facts; what is not in the record yet is added to it */
export function finishLayer(applier: Applier, support: OverlaySupport, record: LayerRecord): TreeFacts {
  const { tree } = applier;
  const { root } = tree;
  settleWhiteoutParents(applier, root);
  const marks = decideMarks(tree);
  const onDisk = support.mode === 'overlay';
  if (onDisk) for (const { parent, name } of marks.whiteouts) makeWhiteout(applier, parent, name);
  const opaqueXattr = onDisk ? `${support.userxattr ? 'user' : 'trusted'}.overlay.opaque` : undefined;
  finishDirectories(applier, marks, opaqueXattr, record);
  const contentBytes = writeRecord(applier, marks, opaqueXattr, record);
  return {
    marks: onDisk ? (support.userxattr ? 'user' : 'trusted') : 'none',
    implied: marks.implied.map((node) => node.path),
    whiteouts: marks.whiteouts.map(({ parent, name }) => pathIn(parent, name)),
    opaques: [...marks.opaques].map((node) => node.path),
    fresh: marks.fresh.map((node) => node.path),
    rootOpaque: root.marked,
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

function decideMarks(tree: LayerTree): Marks {
  const { root } = tree;
  const marks: Marks = { whiteouts: [], opaques: new Set(), fresh: [], implied: [] };
  const waiting: { node: DirectoryNode; hidesBelow: boolean }[] = [{ node: root, hidesBelow: root.marked }];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { node, hidesBelow } = next;
    if (!hidesBelow) {
      for (const name of node.whiteouts ?? []) {
        const child = tree.child(node, name);
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
  { tree, handles, attributes }: Applier,
  marks: Marks,
  opaqueXattr: string | undefined,
  record: LayerRecord,
): void {
  for (const node of directoriesDeepestFirst(tree.root)) {
    const own = node.attributes ?? unlisted;
    const content = marks.opaques.has(node) ? (opaqueXattr ?? '') : '';
    const fd = handles.get(node);
    const path = node.path;
    attributes.chownFd(fd, path, own.uid, own.gid);
    if (own.xattrs) attributes.setXattrsFd(fd, path, own.xattrs);
    if (content !== '') attributes.setXattrsFd(fd, path, opaqueMark(content));
    attributes.chmodFd(fd, path, own.mode);
    attributes.setTimesFd(fd, path, own.mtime);
    const xattrs = own.xattrs && recordXattrs(own.xattrs.keys(), xattrsOfFd(fd));
    if (node !== tree.root) record.add(path, 'dir', own, { size: 0, content, xattrs });
  }
}

function opaqueMark(xattr: string): ReadonlyMap<string, Buffer> {
  return new Map([[xattr, Buffer.from('y')]]);
}

/** @returns bytes of all files, each inode once */
function writeRecord(
  { tree, linked }: Applier,
  marks: Marks,
  opaqueXattr: string | undefined,
  record: LayerRecord,
): number {
  const counted = new Set<Inode>();
  let { contentBytes } = tree.files;
  for (const { parent, name, node } of nodesParentsFirst(tree.root)) {
    if (node.kind !== 'inode') continue;
    record.add(pathIn(parent, name), node.type, node, node);
    if (counted.has(node)) continue;
    if (linked.has(node)) counted.add(node);
    contentBytes += node.size;
  }
  if (opaqueXattr !== undefined) {
    for (const { parent, name } of marks.whiteouts) {
      record.add(pathIn(parent, name), 'whiteout', unlisted, { size: 0, content: '' });
    }
  }
  record.flush();
  return contentBytes;
}
