import { clampTime } from './attributes.ts';
import { pathOfPlace } from './directory-handles.ts';
import type { Timestamp } from './pax.ts';

/**
 * The tree that a layer has made so far, in memory. The target directory belongs to one applier and starts empty, so
 * that this is the truth: parents are found without asking the file system, symlinks included.
 */

/**
 * A file, device, fifo or symlink, under all its names. A layer may have 100,000 of them: what is not in here, and no
 * object of its own, is the difference between 450 and 240 bytes for each.
 */
export class Inode implements Timestamp {
  readonly type: 'file' | 'symlink' | 'char' | 'block' | 'fifo';
  mode: number;
  uid: number;
  gid: number;
  /** Of the last change. */
  sec: number;
  nsec: number;
  /** Bytes; files only. */
  readonly size: number;
  /** The CRC-32 of a file as a signed number, or text, as in `EntryRecord.content`. */
  readonly content: number | string;

  constructor(
    type: Inode['type'],
    attributes: { mode: number; uid: number; gid: number; mtime: Timestamp },
    own: { size: number; content: number | string },
  ) {
    this.type = type;
    this.mode = attributes.mode & 0o7777;
    this.uid = attributes.uid;
    this.gid = attributes.gid;
    const { sec, nsec } = clampTime(attributes.mtime);
    this.sec = sec;
    this.nsec = nsec;
    this.size = own.size;
    this.content = own.content;
  }

  get kind() {
    return 'inode' as const;
  }
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

export type Node = DirectoryNode | Inode | SkippedNode;

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
  readonly children: Map<string, Node> = new Map();
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

  add(name: string, node: Node): void {
    this.children.set(ownText(name), node);
  }

  /** From the root, without a leading slash; empty for the root. */
  get path(): string {
    return pathOfPlace(this);
  }
}

/** A part of a longer text keeps all of that in memory; a copy does not. */
function ownText(name: string): string {
  return name.length < shortestPart ? name : Buffer.from(name, 'latin1').toString('latin1');
}
/** V8 copies what is shorter itself. */
const shortestPart = 13;

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
export function* nodesParentsFirst(root: DirectoryNode): Generator<NamedNode> {
  const waiting: DirectoryNode[] = [root];
  for (let parent = waiting.pop(); parent !== undefined; parent = waiting.pop()) {
    for (const [name, node] of parent.children) {
      yield { parent, name, node };
      if (node.kind === 'directory') waiting.push(node);
    }
  }
}
