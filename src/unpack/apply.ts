import { fstatSync } from 'node:fs';
import { constants } from 'node:os';
import { crashPoint } from '../lib/crash-point.ts';
import { fileTypes, makeDevice, mknodat } from '../lib/libc.ts';
import {
  closeFd,
  linkAt,
  mkdirAt,
  openAt,
  openFlags,
  removeDirectoryAt,
  symlinkAt,
  truncateFd,
  unlinkAt,
  writeAll,
  writeAllAt,
} from '../lib/libc-at.ts';
import { systemError } from '../lib/libc-library.ts';
import type { OverlaySupport } from '../lib/overlay.ts';
import {
  AttributeSetter,
  capabilityXattr,
  checkOwner,
  clampTime,
  clearXattrs,
  recordXattrs,
  xattrsAt,
  xattrsOfFd,
} from './attributes.ts';
import { crc32 } from './crc32.ts';
import { DirectoryHandles, namesIn } from './directory-handles.ts';
import { classifyName, cleanLinkTarget, maxPathBytes } from './entry-name.ts';
import { entryError, hostError, printableNumber } from './errors.ts';
import type { LayerRecord, RecordedAttributes, RecordedContent } from './layer-record.ts';
import {
  DirectoryNode,
  directoriesDeepestFirst,
  type Inode,
  LayerTree,
  type NamedNode,
  type PlainFile,
  pathIn,
  type SkippedNode,
} from './layer-tree.ts';
import type { LayerBudget } from './limits.ts';
import { findDirectory, resolveDirectory } from './path-resolver.ts';
import { typeFlags } from './tar-header.ts';
import type { EntryHandler, TarEntry } from './tar-reader.ts';

/** Linux keeps 12 bits of a major and 20 of a minor; more would silently become another device (E5). */
const maxMajor = 4095;
const maxMinor = 1_048_575;

/** What the kernel takes from the mode of a new file. */
const umask = process.umask();

const newFile = openFlags.writeOnly | openFlags.create | openFlags.exclusive | openFlags.noFollow;

interface OpenFile {
  readonly fd: number;
  readonly entry: TarEntry;
  readonly parent: DirectoryNode;
  readonly name: string;
  crc: number;
}

export interface ApplierOptions {
  readonly support: OverlaySupport;
  readonly budget: LayerBudget;
  readonly record: LayerRecord;
}

/**
 * Makes the entries of one layer in an empty directory of its own, in the order of the archive (sections 4 – 7).
 * Directories get owner, mode, xattrs and times at the end only (`finishLayer` in `finish-layer.ts`): until then they are 0700, so that neither a
 * setgid bit nor a default ACL nor a missing permission meets their children. After an error the directory is of no
 * use.
 */
export class Applier implements EntryHandler {
  readonly tree: LayerTree;
  readonly handles: DirectoryHandles;
  readonly attributes: AttributeSetter;
  /** One sentence for each kind of thing that was left out. */
  readonly warnings = new Map<string, string>();
  /** Devices that the host did not allow. */
  readonly skipped: SkippedNode[] = [];
  /** Those with several names, or that had. */
  readonly linked = new Set<Inode>();
  /** Those with `security.capability`. */
  readonly #capable = new Set<Inode>();
  readonly #budget: LayerBudget;
  #file: OpenFile | undefined;
  /** Of every new file here: no folder on the way has a setgid bit yet. Asked of the first one. */
  #ownerOfNew: { readonly uid: number; readonly gid: number } | undefined;

  /** @param targetFd an open, empty directory; closed by `close` */
  constructor(targetFd: number, { support, budget, record }: ApplierOptions) {
    this.#budget = budget;
    this.tree = new LayerTree(record);
    this.handles = new DirectoryHandles(this.tree.root, targetFd);
    this.attributes = new AttributeSetter(support, (topic, text) => this.#warn(topic, text));
    // A default ACL here would be handed down to everything.
    clearXattrs(targetFd, (name) => name === 'security.selinux');
  }

  entry(entry: TarEntry): void {
    crashPoint('layer-entry');
    const name = classifyName(entry.name);
    if (name.kind === 'skip') return;
    this.#budget.addEntry();
    if (name.kind === 'opaque') {
      resolveDirectory(this.tree, name.components, entry.name).marked = true;
      return;
    }
    const last = name.components.length - 1;
    const base = name.components[last]!;
    if (name.kind === 'entry' && !isSupported(entry.type)) {
      const type = JSON.stringify(String.fromCharCode(entry.type));
      throw entryError('unsupported-entry', entry.name, `images cannot hold entries of type ${type}`);
    }
    const parent = resolveDirectory(this.tree, name.components.slice(0, last), entry.name);
    if (name.kind === 'whiteout') hide(parent, base);
    else this.#make(entry, parent, base);
  }

  data(bytes: Buffer, position: number): void {
    const file = this.#file;
    if (file === undefined) return;
    const { sparse, name } = file.entry;
    if (!sparse) file.crc = crc32(bytes, file.crc);
    const result = sparse ? writeAllAt(file.fd, bytes, position) : writeAll(file.fd, bytes);
    if (result < 0) throw hostError(name, systemError(-result, 'write'));
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    const { fd, entry, parent, name } = file;
    if (entry.sparse) this.#check(truncateFd(fd, entry.size), 'ftruncate', entry);
    const content = entry.sparse ? '' : file.crc.toString(16).padStart(8, '0');
    const inode = newInode('file', entry, { size: entry.size, content });
    const owner = this.#ownerOfNew!;
    if (owner.uid !== entry.uid || owner.gid !== entry.gid) {
      this.attributes.chownFd(fd, entry.name, entry.uid, entry.gid);
    }
    const xattrs = this.attributes.filterXattrs(entry.xattrs);
    if (xattrs) {
      this.attributes.setXattrsFd(fd, entry.name, xattrs);
      if (xattrs.has(capabilityXattr)) this.#capable.add(inode);
    }
    if (xattrs || inode.mode !== this.#modeAtOpen(entry)) this.attributes.chmodFd(fd, entry.name, inode.mode);
    if (xattrs) inode.xattrs = recordXattrs(xattrs.keys(), xattrsOfFd(fd));
    this.attributes.setTimesFd(fd, entry.name, inode.mtime);
    this.#file = undefined;
    closeFd(fd);
    if (this.#capable.has(inode)) parent.children.set(name, inode);
    else this.tree.files.add(pathIn(parent, name), inode, inode);
  }

  /** Makes a directory that so far only whiteouts asked for, and those above it (P2). */
  materialise(directory: DirectoryNode): void {
    if (directory.onDisk) return;
    const missing: DirectoryNode[] = [];
    for (let node = directory; !node.onDisk; node = node.parent!) missing.push(node);
    for (const node of missing.reverse()) this.#mkdir(node);
  }

  /** Closes every descriptor; call once, also after an error. */
  close(): void {
    if (this.#file) closeFd(this.#file.fd);
    this.#file = undefined;
    this.handles.close();
  }

  #make(entry: TarEntry, parent: DirectoryNode, name: string): void {
    checkOwner(entry.name, entry.uid, entry.gid);
    switch (entry.type) {
      case typeFlags.file:
        this.#makeFile(entry, parent, name);
        break;
      case typeFlags.directory:
        this.#makeDirectory(entry, parent, name);
        break;
      case typeFlags.symlink:
        this.#makeSymlink(entry, parent, name);
        break;
      case typeFlags.hardlink:
        this.#makeHardlink(entry, parent, name);
        break;
      default:
        this.#makeNode(entry, parent, name);
    }
  }

  #makeFile(entry: TarEntry, parent: DirectoryNode, name: string): void {
    const directory = this.#clear(parent, name);
    const fd = openAt(directory, name, newFile, this.#modeAtOpen(entry));
    this.#check(fd, 'open', entry);
    this.#ownerOfNew ??= fstatSync(fd);
    this.#file = { fd, entry, parent, name, crc: 0 };
  }

  /**
   * The final mode, where the umask leaves it alone and nothing later can change or need it; else one that lets only us
   * in. With the owner that is right already it saves two of six system calls of a small file.
   */
  #modeAtOpen({ mode, xattrs }: TarEntry): number {
    const final = mode & 0o7777;
    return (final & (0o7000 | umask)) === 0 && xattrs === undefined ? final : 0o600 & ~umask;
  }

  #makeDirectory(entry: TarEntry, parent: DirectoryNode, name: string): void {
    let node = this.tree.child(parent, name);
    if (node?.kind !== 'directory') {
      this.#clear(parent, name);
      const directory = new DirectoryNode(parent, name, false);
      directory.afterOther = node !== undefined;
      parent.children.set(name, directory);
      node = directory;
    }
    this.materialise(node);
    node.attributes = {
      mode: entry.mode & 0o7777,
      uid: entry.uid,
      gid: entry.gid,
      mtime: clampTime(entry.mtime),
      xattrs: this.attributes.filterXattrs(entry.xattrs),
    };
  }

  #makeSymlink(entry: TarEntry, parent: DirectoryNode, name: string): void {
    const target = entry.linkName;
    if (target.length > maxPathBytes) {
      throw entryError('name-too-long', entry.name, `a symlink target of ${target.length} bytes`);
    }
    if (target === '') throw entryError('bad-link', entry.name, 'a symlink without a target');
    const directory = this.#clear(parent, name);
    this.#check(symlinkAt(target, directory, name), 'symlink', entry);
    const inode = newInode('symlink', { ...entry, mode: 0o777 }, { size: 0, content: target });
    this.#setAttributesAt(entry, parent, name, inode);
    parent.children.set(name, inode);
  }

  /** E4, M5. */
  #makeHardlink(entry: TarEntry, parent: DirectoryNode, name: string): void {
    const target = this.#linkTarget(entry);
    const existing = this.tree.child(parent, name);
    const isItself = target.parent === parent && target.name === name;
    if (isItself || (existing?.kind === 'directory' && isInside(target, existing))) {
      throw entryError('bad-link', entry.name, 'a hardlink that replaces its own target');
    }
    const directory = this.#clear(parent, name);
    if (target.node.kind === 'skipped') {
      this.#skip(parent, name);
      return;
    }
    const inode = this.#inodeOf(target.parent, target.name, target.node);
    const from = this.handles.get(target.parent);
    this.#check(linkAt(from, target.name, directory, name), 'link', entry);
    this.linked.add(inode);
    const capability = this.#capable.has(inode) ? xattrsAt(directory, name).value(capabilityXattr) : undefined;
    if (inode.type !== 'symlink') inode.mode = entry.mode & 0o7777;
    inode.uid = entry.uid;
    inode.gid = entry.gid;
    inode.mtime = clampTime(entry.mtime);
    const kept = capability && !entry.xattrs?.has(capabilityXattr) ? [[capabilityXattr, capability] as const] : [];
    this.#setAttributesAt({ ...entry, xattrs: new Map([...kept, ...(entry.xattrs ?? [])]) }, parent, name, inode);
    parent.children.set(name, inode);
  }

  /** From now on the file has an inode of its own in the tree: its further names share it. */
  #inodeOf(parent: DirectoryNode, name: string, node: Inode | PlainFile): Inode {
    if (node.kind === 'inode') return node;
    const { record } = node;
    this.tree.files.remove(record.path);
    const inode = newInode('file', { ...record, mtime: { sec: 0, nsec: 0 } }, record);
    parent.children.set(name, inode);
    return inode;
  }

  #linkTarget(entry: TarEntry): NamedNode<Inode | PlainFile | SkippedNode> {
    const components = cleanLinkTarget(entry.name, entry.linkName);
    const name = components?.at(-1);
    const parent = components && findDirectory(this.tree, components.slice(0, -1), entry.name);
    const node = name === undefined || parent === undefined ? undefined : this.tree.child(parent, name);
    if (parent === undefined || name === undefined || node === undefined)
      throw entryError('bad-link', entry.name, 'the target of the hardlink is not in this layer');
    if (node.kind === 'directory') throw entryError('bad-link', entry.name, 'a hardlink to a directory');
    return { parent, name, node };
  }

  /** Devices and fifos (E5, E7). */
  #makeNode(entry: TarEntry, parent: DirectoryNode, name: string): void {
    const type = entry.type === typeFlags.fifo ? 'fifo' : entry.type === typeFlags.block ? 'block' : 'char';
    const { deviceMajor: major, deviceMinor: minor } = entry;
    const isDevice = type !== 'fifo';
    if (isDevice && (major < 0 || major > maxMajor || minor < 0 || minor > maxMinor)) {
      const shown = `${printableNumber(major)}:${printableNumber(minor)}`;
      throw entryError('bad-tar', entry.name, `the device number ${shown} is out of range`);
    }
    if (type === 'char' && major === 0 && minor === 0) {
      hide(parent, name);
      return;
    }
    const directory = this.#clear(parent, name);
    const fileType = type === 'fifo' ? fileTypes.fifo : type === 'block' ? fileTypes.block : fileTypes.character;
    try {
      mknodat(directory, Buffer.from(name, 'latin1'), fileType | 0o600, isDevice ? makeDevice(major, minor) : 0n);
    } catch (error) {
      if (!isDevice || (error as NodeJS.ErrnoException).errno !== -constants.errno.EPERM) {
        throw hostError(entry.name, error as NodeJS.ErrnoException);
      }
      this.#skip(parent, name);
      return;
    }
    const inode = newInode(type, entry, { size: 0, content: isDevice ? `${major}:${minor}` : '' });
    this.#setAttributesAt(entry, parent, name, inode);
    parent.children.set(name, inode);
  }

  /** A device that cannot be made here still replaces what the layers below have. */
  #skip(parent: DirectoryNode, name: string): void {
    const node: SkippedNode = { kind: 'skipped', parent, name };
    parent.children.set(name, node);
    this.skipped.push(node);
    hide(parent, name);
    this.#warn('devices', 'device nodes were left out: this host does not allow them (user namespace)');
  }

  #setAttributesAt(entry: TarEntry, parent: DirectoryNode, name: string, inode: Inode): void {
    const directory = this.handles.get(parent);
    this.attributes.chownAt(directory, name, entry.name, inode.uid, inode.gid);
    const xattrs = this.attributes.filterXattrs(entry.xattrs);
    if (xattrs) {
      this.attributes.setXattrsAt(directory, name, entry.name, xattrs);
      if (xattrs.has(capabilityXattr)) this.#capable.add(inode);
    }
    if (inode.type !== 'symlink') this.attributes.chmodAt(directory, name, entry.name, inode.mode);
    if (xattrs || inode.xattrs) {
      const names = new Set([...Object.keys(inode.xattrs ?? {}), ...(xattrs?.keys() ?? [])]);
      inode.xattrs = recordXattrs(names, xattrsAt(directory, name));
    }
    this.attributes.setTimesAt(directory, name, entry.name, inode.mtime);
  }

  /** Makes sure that the parent is there and the name is free (P1), and returns the parent's descriptor. */
  #clear(parent: DirectoryNode, name: string): number {
    const existing = this.tree.child(parent, name);
    if (existing !== undefined) this.#remove({ parent, name, node: existing });
    this.materialise(parent);
    this.#budget.addInode();
    return this.handles.get(parent);
  }

  #remove({ parent, name, node }: NamedNode): void {
    parent.children.delete(name);
    if (node.kind === 'inode' || node.kind === 'file') this.#unlink(parent, name);
    if (node.kind !== 'directory') return;
    for (const directory of directoriesDeepestFirst(node)) {
      if (!directory.onDisk) continue;
      // Directories below are gone already.
      for (const child of namesIn(this.handles.get(directory))) this.#unlink(directory, child);
      this.handles.forget(directory);
      const result = removeDirectoryAt(this.handles.get(directory.parent!), directory.name);
      if (result < 0) throw hostError(directory.path, systemError(-result, 'rmdir'));
    }
  }

  #unlink(parent: DirectoryNode, name: string): void {
    const result = unlinkAt(this.handles.get(parent), name);
    if (result < 0) throw hostError(name, systemError(-result, 'unlink'));
    this.tree.files.remove(pathIn(parent, name));
  }

  #mkdir(node: DirectoryNode): void {
    this.#budget.addInode();
    const result = mkdirAt(this.handles.get(node.parent!), node.name, 0o700);
    if (result < 0) throw hostError(node.path, systemError(-result, 'mkdir'));
    node.onDisk = true;
  }

  #check(result: number, call: string, entry: TarEntry): void {
    if (result < 0) throw hostError(entry.name, systemError(-result, call));
  }

  #warn(topic: string, text: string): void {
    if (!this.warnings.has(topic)) this.warnings.set(topic, text);
  }
}

function hide(parent: DirectoryNode, name: string): void {
  parent.whiteouts ??= new Set();
  parent.whiteouts.add(name);
}

/** E6. */
function isSupported(type: number): boolean {
  return type >= typeFlags.file && type <= typeFlags.fifo;
}

function isInside({ parent }: NamedNode, directory: DirectoryNode): boolean {
  for (let above: DirectoryNode | undefined = parent; above !== undefined; above = above.parent) {
    if (above === directory) return true;
  }
  return false;
}

function newInode(
  type: Inode['type'],
  { mode, uid, gid, mtime }: RecordedAttributes,
  { size, content, xattrs }: RecordedContent,
): Inode {
  return { kind: 'inode', type, mode: mode & 0o7777, uid, gid, mtime: clampTime(mtime), size, content, xattrs };
}
