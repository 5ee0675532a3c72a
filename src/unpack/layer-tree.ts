import type { EntryRecord, XattrRecord } from '../lib/layer-facts.ts';
import { pathOfPlace } from './directory-handles.ts';
import type { LayerRecord } from './layer-record.ts';
import type { Timestamp } from './pax.ts';
import { PlainFiles } from './plain-files.ts';

/**
 * The tree that a layer has made so far, in memory. The target directory belongs to one applier and starts empty, so
 * that this is the truth: parents are found without asking the file system, symlinks included.
 */

/** A device, fifo or symlink, or a file that is not plain, under all its names. */
export interface Inode {
  readonly kind: 'inode';
  readonly type: 'file' | 'symlink' | 'char' | 'block' | 'fifo';
  mode: number;
  uid: number;
  gid: number;
  mtime: Timestamp;
  /** Bytes; files only. */
  readonly size: number;
  /** As in `EntryRecord.content`. */
  readonly content: string;
  xattrs: XattrRecord | undefined;
}

/** A file with one name, all its bytes and no `security.capability`. It has no node: only its line in the record. */
export interface PlainFile {
  readonly kind: 'file';
  readonly record: EntryRecord;
}

/** A device that the host did not allow to make: it counts as there, and nothing is on disk. */
export interface SkippedNode {
  readonly kind: 'skipped';
  readonly parent: DirectoryNode;
  readonly name: string;
}

export interface DirectoryAttributes {
  mode: number;
  uid: number;
  gid: number;
  mtime: Timestamp;
  xattrs: ReadonlyMap<string, Buffer> | undefined;
}

export type Node = DirectoryNode | Inode | SkippedNode | PlainFile;

/** A name in a directory, and what it stands for. */
export interface NamedNode<T extends Node = Node> {
  readonly parent: DirectoryNode;
  readonly name: string;
  readonly node: T;
}

export class DirectoryNode {
  readonly kind = 'directory';
  readonly parent: DirectoryNode | undefined;
  readonly name: string;
  /** All but plain files. @see LayerTree.child */
  readonly children: Map<string, Exclude<Node, PlainFile>> = new Map();
  /** Set by the entry that lists the directory; an implied one has none (P2). */
  attributes: DirectoryAttributes | undefined;
  /** False while only whiteouts below have asked for it (W1). */
  onDisk: boolean;
  /** Something that was no directory stood here earlier in this layer: what is below is gone (P3). */
  afterOther = false;
  /** Has an opaque marker (W3). */
  marked = false;
  /** Names that the layers below must not show here (W1). */
  whiteouts: Set<string> | undefined;
  #path: string | undefined;

  constructor(parent: DirectoryNode | undefined, name: string, onDisk: boolean) {
    this.parent = parent;
    this.name = name;
    this.onDisk = onDisk;
  }

  /** From the root, without a leading slash; empty for the root. */
  get path(): string {
    this.#path ??= pathOfPlace(this);
    return this.#path;
  }
}

/** What stands in a directory under a name. */
export class LayerTree {
  readonly root = new DirectoryNode(undefined, '', true);
  readonly files: PlainFiles;

  constructor(record: LayerRecord) {
    this.files = new PlainFiles(record);
  }

  child(parent: DirectoryNode, name: string): Node | undefined {
    const node = parent.children.get(name);
    if (node) return node;
    const record = this.files.find(pathIn(parent, name));
    return record && { kind: 'file', record };
  }
}

/** The path of something in a directory. */
export function pathIn(directory: DirectoryNode, name: string): string {
  return directory.parent === undefined ? name : `${directory.path}/${name}`;
}

/** Every directory of a tree, children before their parents, without recursion: paths may be 2,000 levels deep. */
export function* directoriesDeepestFirst(root: DirectoryNode): Generator<DirectoryNode> {
  yield* deepestFirst(root, (directory) => directory.children.values().filter(isDirectory));
}

export function isDirectory(node: Node): node is DirectoryNode {
  return node.kind === 'directory';
}

/** Every node of a tree, children before their parents. */
export function* deepestFirst<T>(root: T, childrenOf: (node: T) => Iterator<T>): Generator<T> {
  const stack = [{ node: root, children: childrenOf(root) }];
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const next = top.children.next();
    if (next.done) {
      stack.pop();
      yield top.node;
    } else {
      stack.push({ node: next.value, children: childrenOf(next.value) });
    }
  }
}

/** Every node of a tree but its root and plain files, parents before their children. */
export function* nodesParentsFirst(root: DirectoryNode): Generator<NamedNode<Exclude<Node, PlainFile>>> {
  const waiting: DirectoryNode[] = [root];
  for (let parent = waiting.pop(); parent !== undefined; parent = waiting.pop()) {
    for (const [name, node] of parent.children) {
      yield { parent, name, node };
      if (node.kind === 'directory') waiting.push(node);
    }
  }
}
