import { fstatSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import type { LayerFacts } from '../lib/layer-facts.ts';
import { lgetxattr, llistxattr, lsetxattr, mknodat } from '../lib/libc.ts';
import {
  chmodAt,
  chmodFd,
  chownAt,
  chownFd,
  closeFd,
  linkAt,
  mkdirAt,
  openAt,
  openFlags,
  readLinkAt,
  removeDirectoryAt,
  setTimesAt,
  setTimesFd,
  symlinkAt,
  unlinkAt,
} from '../lib/libc-at.ts';
import { systemError } from '../lib/libc-library.ts';
import { copyAttributes, isImageXattr, timesOf } from './copy-attributes.ts';
import { copyContent } from './copy-content.ts';
import { DirectoryHandles, openSteps, openTreeRoot, pathOfPlace, type TreePlace } from './directory-handles.ts';
import { hostError, namingDisk } from './errors.ts';
import { deepestFirst } from './layer-tree.ts';
import { effectiveLayers, type LayerDirectory } from './stack.ts';

/**
 * Copying mode (section 22): the root file system of a chain as one directory, made from the unpacked layers and their
 * facts, with the result that overlayfs would show. For hosts without overlayfs.
 */

export interface MergeJob {
  /** Bottom first. */
  readonly layers: readonly LayerDirectory[];
  /** An existing empty directory; never shares files with the layers, since containers write to it. */
  readonly targetDir: string;
}

/** A directory of the target, and the layer that its attributes come from. */
interface TargetDirectory extends TreePlace {
  readonly parent: TargetDirectory | undefined;
  readonly children: Map<string, TargetDirectory>;
  source: LayerDirectory | undefined;
}

/** A directory of a layer, and the place in the target that it goes to. */
interface SourceDirectory extends TreePlace {
  readonly path: string;
  readonly parent: SourceDirectory | undefined;
  readonly target: TargetDirectory;
}

/**
 * Merges in this thread; `UnpackPool.merge` does it in another one.
 * @param onProgress called often, with the bytes copied so far; may throw to stop
 * @throws LadingError `ERR_LADING_DISK_FULL`, `ERR_LADING_UNPACK_IO`
 */
export function mergeLayers(job: MergeJob, onProgress: (bytes: number) => void): void {
  const merger = new Merger(job.targetDir, onProgress);
  try {
    for (const layer of effectiveLayers(job.layers)) merger.add(layer);
    merger.finish();
  } catch (error) {
    throw namingDisk(error, job.targetDir);
  } finally {
    merger.close();
  }
}

class Merger {
  readonly #root: TargetDirectory = { parent: undefined, name: '', children: new Map(), source: undefined };
  readonly #handles: DirectoryHandles;
  readonly #onProgress: (bytes: number) => void;
  #bytes = 0;

  constructor(targetDir: string, onProgress: (bytes: number) => void) {
    this.#handles = new DirectoryHandles(this.#root, openTreeRoot(targetDir));
    this.#onProgress = onProgress;
  }

  close(): void {
    this.#handles.close();
  }

  add(layer: LayerDirectory): void {
    for (const path of layer.facts.whiteouts) this.#removePath(path);
    for (const path of layer.facts.opaques) {
      const directory = this.#find(path.split('/'));
      if (directory) this.#empty(directory);
    }
    new LayerCopy(layer, this.#root, this).run();
  }

  /** Attributes of directories, deepest first, once nothing changes their times any more. */
  finish(): void {
    for (const node of deepestFirst(this.#root, ({ children }) => children.values())) {
      const fd = this.#handles.get(node);
      const path = pathOfPlace(node);
      if (node.source === undefined) {
        check(chownFd(fd, 0, 0), 'chown', path);
        check(chmodFd(fd, 0o755), 'chmod', path);
        check(setTimesFd(fd, timesOf(0n)), 'utimensat', path);
        continue;
      }
      const { dir, facts } = node.source;
      const layerFd = openTreeRoot(dir);
      const from = openSteps(layerFd, path.split('/'));
      closeFd(layerFd);
      check(from, 'open', path);
      try {
        copyAttributes(from, fd, path, facts.marks);
      } finally {
        closeFd(from);
      }
    }
  }

  handle(directory: TargetDirectory): number {
    return this.#handles.get(directory);
  }

  /** Counts copied bytes and lets the caller stop. */
  addBytes(count: number): void {
    this.#bytes += count;
    this.#onProgress(this.#bytes);
  }

  /** Makes room for something that is no directory, and tries again if something is in the way. */
  place(parent: TargetDirectory, name: string, make: (directory: number) => number): number {
    const directory = parent.children.get(name);
    if (directory) this.#removeDirectory(directory);
    const fd = this.#handles.get(parent);
    const result = make(fd);
    if (result !== -constants.errno.EEXIST) return result;
    check(unlinkAt(fd, name), 'unlink', name);
    return make(fd);
  }

  /** The directory of this name, made if need be: over a file or symlink of the layers below it replaces that. */
  directory(parent: TargetDirectory, name: string): { node: TargetDirectory; isNew: boolean } {
    const existing = parent.children.get(name);
    if (existing) return { node: existing, isNew: false };
    check(
      this.place(parent, name, (fd) => mkdirAt(fd, name, 0o700)),
      'mkdir',
      name,
    );
    const node: TargetDirectory = { parent, name, children: new Map(), source: undefined };
    parent.children.set(name, node);
    return { node, isNew: true };
  }

  #find(components: readonly string[]): TargetDirectory | undefined {
    let node: TargetDirectory | undefined = this.#root;
    for (const name of components) node = node?.children.get(name);
    return node;
  }

  #removePath(path: string): void {
    const components = path.split('/');
    const name = components.pop()!;
    const parent = this.#find(components);
    if (parent === undefined) return;
    const directory = parent.children.get(name);
    if (directory) {
      this.#removeDirectory(directory);
      return;
    }
    const result = unlinkAt(this.#handles.get(parent), name);
    if (result !== -constants.errno.ENOENT) check(result, 'unlink', path);
  }

  #removeDirectory(directory: TargetDirectory): void {
    this.#empty(directory);
    this.#removeEmpty(directory);
  }

  #empty(directory: TargetDirectory): void {
    for (const node of deepestFirst(directory, ({ children }) => children.values())) {
      const fd = this.#handles.get(node);
      for (const { name, isDirectory } of list(fd)) if (!isDirectory) check(unlinkAt(fd, name), 'unlink', name);
      if (node !== directory) this.#removeEmpty(node, { keepNode: true });
    }
    directory.children.clear();
  }

  #removeEmpty(directory: TargetDirectory, options: { keepNode: boolean } = { keepNode: false }): void {
    this.#handles.forget(directory);
    check(removeDirectoryAt(this.#handles.get(directory.parent!), directory.name), 'rmdir', directory.name);
    if (!options.keepNode) directory.parent!.children.delete(directory.name);
  }
}

/** Copies what one layer adds; parents first. */
class LayerCopy {
  readonly #layer: LayerDirectory;
  readonly #merger: Merger;
  readonly #sources: DirectoryHandles;
  readonly #root: SourceDirectory;
  readonly #implied: ReadonlySet<string>;
  readonly #whiteouts: ReadonlySet<string>;
  /** First copies of files with several names, by inode. */
  readonly #linked = new Map<bigint, { parent: TargetDirectory; name: string }>();

  constructor(layer: LayerDirectory, target: TargetDirectory, merger: Merger) {
    this.#layer = layer;
    this.#merger = merger;
    this.#root = { path: '', parent: undefined, name: '', target };
    this.#sources = new DirectoryHandles(this.#root, openTreeRoot(layer.dir));
    this.#implied = new Set(layer.facts.implied);
    this.#whiteouts = new Set(layer.facts.whiteouts);
  }

  run(): void {
    try {
      const waiting = [this.#root];
      for (let source = waiting.pop(); source !== undefined; source = waiting.pop()) {
        for (const { name, isDirectory } of list(this.#sources.get(source))) {
          const path = source.path === '' ? name : `${source.path}/${name}`;
          if (isDirectory) waiting.push(this.#copyDirectory(source, name, path));
          else if (!this.#whiteouts.has(path)) this.#copyLeaf(source, name, path);
        }
      }
    } finally {
      this.#sources.close();
    }
  }

  #copyDirectory(source: SourceDirectory, name: string, path: string): SourceDirectory {
    const { node, isNew } = this.#merger.directory(source.target, name);
    // P2: an implied directory leaves what is below as it is.
    if (isNew || !this.#implied.has(path)) node.source = this.#layer;
    return { path, parent: source, name, target: node };
  }

  #copyLeaf(source: SourceDirectory, name: string, path: string): void {
    const from = this.#sources.get(source);
    const fd = openAt(from, name, openFlags.pathOnly | openFlags.noFollow);
    check(fd, 'open', path);
    try {
      const stat = fstatSync(fd, { bigint: true });
      const known = stat.nlink > 1n ? this.#linked.get(stat.ino) : undefined;
      if (known) {
        const first = this.#merger.handle(known.parent);
        check(
          this.#merger.place(source.target, name, (to) => linkAt(first, known.name, to, name)),
          'link',
          path,
        );
        return;
      }
      if (stat.isFile()) this.#copyFile(from, source.target, name, path, Number(stat.size));
      else this.#copySpecial(from, fd, source.target, name, path);
      if (stat.nlink > 1n) this.#linked.set(stat.ino, { parent: source.target, name });
    } finally {
      closeFd(fd);
    }
  }

  #copyFile(from: number, target: TargetDirectory, name: string, path: string, size: number): void {
    const fromFd = openAt(from, name, openFlags.readOnly | openFlags.noFollow);
    check(fromFd, 'open', path);
    let toFd = -1;
    try {
      const flags = openFlags.writeOnly | openFlags.create | openFlags.exclusive | openFlags.noFollow;
      toFd = this.#merger.place(target, name, (to) => openAt(to, name, flags, 0o600));
      check(toFd, 'open', path);
      copyContent(fromFd, toFd, path);
      copyAttributes(fromFd, toFd, path, this.#layer.facts.marks);
    } finally {
      closeFd(fromFd);
      if (toFd >= 0) closeFd(toFd);
    }
    this.#merger.addBytes(size);
  }

  /** Symlinks, devices and fifos. */
  #copySpecial(from: number, fd: number, target: TargetDirectory, name: string, path: string): void {
    const stat = fstatSync(fd, { bigint: true });
    const isSymlink = stat.isSymbolicLink();
    const made = this.#merger.place(target, name, (to) =>
      isSymlink ? symlinkAt(linkTarget(fd, path), to, name) : makeNode(to, name, Number(stat.mode), stat.rdev),
    );
    check(made, isSymlink ? 'symlink' : 'mknod', path);
    const to = this.#merger.handle(target);
    check(chownAt(to, name, Number(stat.uid), Number(stat.gid)), 'chown', path);
    copyXattrsByPath(from, to, name, this.#layer.facts.marks);
    if (!isSymlink) check(chmodAt(to, name, Number(stat.mode) & 0o7777), 'chmod', path);
    check(setTimesAt(to, name, timesOf(stat.mtimeNs)), 'utimensat', path);
  }
}

function makeNode(directory: number, name: string, mode: number, device: bigint): number {
  try {
    mknodat(directory, Buffer.from(name, 'latin1'), mode, device);
    return 0;
  } catch (error) {
    return (error as NodeJS.ErrnoException).errno!;
  }
}

function linkTarget(fd: number, path: string): string {
  const buffer = Buffer.allocUnsafe(8192);
  const length = readLinkAt(fd, '', buffer);
  check(length, 'readlink', path);
  return buffer.toString('latin1', 0, length);
}

/** Extended attributes of what cannot be opened; such things rarely have any. */
function copyXattrsByPath(from: number, to: number, name: string, marks: LayerFacts['marks']): void {
  const source = Buffer.from(`/proc/self/fd/${from}/${name}`, 'latin1');
  const target = Buffer.from(`/proc/self/fd/${to}/${name}`, 'latin1');
  let names: Buffer[] = [];
  try {
    names = llistxattr(source);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EOPNOTSUPP') throw hostError(name, error as NodeJS.ErrnoException);
  }
  for (const attribute of names) {
    if (!isImageXattr(attribute.toString('latin1'), marks)) continue;
    const value = lgetxattr(source, attribute);
    if (value) lsetxattr(target, attribute, value);
  }
}

function list(fd: number): { name: string; isDirectory: boolean }[] {
  const entries = readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer', withFileTypes: true });
  return entries.map((entry) => ({ name: entry.name.toString('latin1'), isDirectory: entry.isDirectory() }));
}

function check(result: number, call: string, path: string): void {
  if (result < 0) throw hostError(path, systemError(-result, call));
}
