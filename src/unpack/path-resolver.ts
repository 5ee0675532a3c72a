import { maxComponentBytes } from './entry-name.ts';
import { entryError, printableName } from './errors.ts';
import { DirectoryNode, type LayerTree, type Node } from './layer-tree.ts';

/**
 * Finds the directory of an entry inside the layer's own tree, as chroot(2) would (N5): symlinks of this layer count
 * and absolute ones restart at its root, `..` stops there, those of lower layers do not exist (P5). The result is a
 * node, never a path: what is opened afterwards is opened without following anything (N7).
 */

/** Linux gives up after 40; 255 is what the specification of layers asks for. */
const maxLinks = 255;

/**
 * Missing components become nodes of the tree that are not on disk yet.
 * @param components a cleaned path
 * @param entry the entry's name, for messages
 * @throws LayerError `not-a-directory` (P4), `unsafe-path` for a loop of symlinks, `name-too-long` for a component that
 * comes from a symlink
 */
export function resolveDirectory(tree: LayerTree, components: readonly string[], entry: string): DirectoryNode {
  const found = walk(tree, components, entry, (parent, name) => {
    if (name.length > maxComponentBytes) {
      throw entryError('name-too-long', entry, `its path leads to a component of ${name.length} bytes`);
    }
    const directory = new DirectoryNode(parent, name, false);
    parent.children.set(name, directory);
    return directory;
  });
  if (typeof found === 'string') {
    throw entryError('not-a-directory', entry, `${printableName(found)} is no directory`);
  }
  return found!;
}

/**
 * As `resolveDirectory`, for targets of hardlinks, and nothing is made: undefined if it is not there or no directory.
 * @throws LayerError `unsafe-path` for a loop of symlinks
 */
export function findDirectory(
  tree: LayerTree,
  components: readonly string[],
  entry: string,
): DirectoryNode | undefined {
  const found = walk(tree, components, entry, () => undefined);
  return typeof found === 'string' ? undefined : found;
}

/** Made on the way, and left by `..` before anything was put into it. */
function isUnused({ onDisk, children, whiteouts, marked }: DirectoryNode): boolean {
  return !onDisk && children.size === 0 && whiteouts === undefined && !marked;
}

/** The directory; undefined where a component is missing; the name of a component that is no directory. */
function walk(
  tree: LayerTree,
  components: readonly string[],
  entry: string,
  onMissing: (parent: DirectoryNode, name: string) => DirectoryNode | undefined,
): DirectoryNode | string | undefined {
  const { root } = tree;
  let current = root;
  let links = 0;
  /** What is still to walk, last first; used once a symlink is met. */
  let rest: string[] | undefined;
  let index = 0;
  for (;;) {
    const component: string | undefined = rest === undefined ? components[index++] : rest.pop();
    if (component === undefined) return current;
    if (component === '' || component === '.') continue;
    if (component === '..') {
      const left = current;
      current = current.parent ?? root;
      if (isUnused(left)) current.children.delete(left.name);
      continue;
    }
    const child: Node | undefined = tree.child(current, component);
    if (child === undefined) {
      const made = onMissing(current, component);
      if (made === undefined) return undefined;
      current = made;
    } else if (child.kind === 'directory') {
      current = child;
    } else if (child.kind === 'inode' && child.type === 'symlink') {
      links += 1;
      if (links > maxLinks) throw entryError('unsafe-path', entry, 'its path leads through a loop of symlinks');
      rest ??= components.slice(index).reverse();
      const target = String(child.content);
      if (target.startsWith('/')) current = root;
      for (const part of target.split('/').reverse()) rest.push(part);
    } else {
      return component;
    }
  }
}
