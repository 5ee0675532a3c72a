import { pathOfPlace } from './directory-handles.ts';

/**
 * The tree that a layer has made so far, in memory. The target directory belongs to one applier and starts empty, so
 * that this is the truth: parents are found without asking the file system, symlinks included.
 */

/** What all names of one file, device, fifo or symlink share. */
export interface Inode {
  readonly type: 'file' | 'symlink' | 'char' | 'block' | 'fifo';
  mode: number;
  uid: number;
  gid: number;
  mtime: { sec: number; nsec: number };
  /** Bytes; files only. */
  readonly size: number;
  /** As in `EntryRecord.content`. */
  readonly content: string;
  hasCapability: boolean;
}

export interface LeafNode {
  readonly kind: 'leaf';
  readonly parent: DirectoryNode;
  readonly name: string;
  readonly inode: Inode;
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
  mtime: { sec: number; nsec: number };
  xattrs: ReadonlyMap<string, Buffer> | undefined;
}

export type Node = DirectoryNode | LeafNode | SkippedNode;

export class DirectoryNode {
  readonly kind = 'directory';
  readonly parent: DirectoryNode | undefined;
  readonly name: string;
  readonly children = new Map<string, Node>();
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

  constructor(parent: DirectoryNode | undefined, name: string, onDisk: boolean) {
    this.parent = parent;
    this.name = name;
    this.onDisk = onDisk;
  }

  /** From the root, without a leading slash; empty for the root. */
  get path(): string {
    return pathOfPlace(this);
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

/** Every node of a tree but its root, parents before their children. */
export function* nodesParentsFirst(root: DirectoryNode): Generator<Node> {
  const waiting: DirectoryNode[] = [root];
  for (let directory = waiting.pop(); directory !== undefined; directory = waiting.pop()) {
    for (const child of directory.children.values()) {
      yield child;
      if (child.kind === 'directory') waiting.push(child);
    }
  }
}
