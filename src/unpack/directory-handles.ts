import { readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { closeFd, openAt, openBeneath, openFlags } from '../lib/libc-at.ts';
import { systemError } from '../lib/libc-library.ts';
import { hostError } from './errors.ts';

/**
 * Open descriptors of the directories in use. Everything an applier makes is made through one of these, and each was
 * opened below its parent without following a symlink: no name in a layer can lead outside (N7).
 */

/** Archives go depth first, so that few directories are in use at a time; far below any limit on descriptors. */
const maxOpen = 64;
/** Kernels and file systems take paths of up to 4,095 bytes at once. */
const maxStepBytes = 3800;

const directoryFlags = openFlags.readOnly | openFlags.directory | openFlags.noFollow;

/** A directory by its place in a tree; the root has no parent. */
export interface TreePlace {
  readonly parent: TreePlace | undefined;
  readonly name: string;
}

/** From the root, without a leading slash; empty for the root. */
export function pathOfPlace(place: TreePlace): string {
  const components: string[] = [];
  for (let at = place; at.parent !== undefined; at = at.parent) components.push(at.name);
  return components.reverse().join('/');
}

/**
 * Opens the directory that a tree is made in or read from; its own path is the caller's and may hold symlinks.
 * @throws Error as systemError
 */
export function openTreeRoot(path: string): number {
  const atCwd = -100;
  const fd = openAt(atCwd, Buffer.from(path).toString('latin1'), openFlags.readOnly | openFlags.directory);
  if (fd < 0) throw systemError(-fd, 'open', path);
  return fd;
}

export class DirectoryHandles {
  readonly #root: TreePlace;
  readonly #rootFd: number;
  /** In order of use, least recent first. */
  readonly #open = new Map<TreePlace, number>();
  #last: TreePlace | undefined;
  #lastFd = -1;

  /** @param rootFd an open directory; closed with the others */
  constructor(root: TreePlace, rootFd: number) {
    this.#root = root;
    this.#rootFd = rootFd;
  }

  /** A descriptor for a directory that is on disk; stays valid while a few others are asked for. */
  get(node: TreePlace): number {
    if (node === this.#last) return this.#lastFd;
    const fd = this.#find(node) ?? this.#openFromAncestor(node);
    this.#last = node;
    this.#lastFd = fd;
    return fd;
  }

  /** Closes the descriptor of a directory that goes away. */
  forget(node: TreePlace): void {
    if (node === this.#last) this.#last = undefined;
    const fd = this.#open.get(node);
    if (fd === undefined) return;
    this.#open.delete(node);
    closeFd(fd);
  }

  close(): void {
    for (const fd of this.#open.values()) closeFd(fd);
    this.#open.clear();
    this.#last = undefined;
    closeFd(this.#rootFd);
  }

  #find(node: TreePlace): number | undefined {
    if (node === this.#root) return this.#rootFd;
    const fd = this.#open.get(node);
    if (fd === undefined) return undefined;
    this.#open.delete(node);
    this.#open.set(node, fd);
    return fd;
  }

  #openFromAncestor(node: TreePlace): number {
    const names: string[] = [];
    let ancestor = node;
    let start: number | undefined;
    while (start === undefined) {
      names.push(ancestor.name);
      ancestor = ancestor.parent!;
      start = this.#find(ancestor);
    }
    const fd = openSteps(start, names.reverse());
    if (fd < 0) throw hostError(pathOfPlace(node), systemError(-fd, 'open'));
    this.#open.set(node, fd);
    if (this.#open.size > maxOpen) {
      const oldest = this.#open.keys().next().value!;
      this.forget(oldest);
    }
    return fd;
  }
}

/** Of an open directory; bytes as latin1. */
export function namesIn(fd: number): string[] {
  return readdirSync(`/proc/self/fd/${fd}`, { encoding: 'buffer' }).map((name) => name.toString('latin1'));
}

/** Opens a directory several levels down without following a symlink. Descriptor or −errno. */
export function openSteps(start: number, names: readonly string[]): number {
  if (names.length === 1) return openAt(start, names[0]!, directoryFlags);
  let current = start;
  for (let index = 0; index < names.length; ) {
    let step = names[index++]!;
    while (index < names.length && step.length + names[index]!.length < maxStepBytes) step += `/${names[index++]}`;
    const next = openManyLevels(current, step);
    if (current !== start) closeFd(current);
    if (next < 0) return next;
    current = next;
  }
  return current;
}

let hasOpenat2 = true;

function openManyLevels(start: number, path: string): number {
  if (hasOpenat2) {
    const fd = openBeneath(start, path, directoryFlags);
    // Kernels before 5.6 lack the call, and sandboxes written before then refuse it with EPERM.
    if (fd !== -constants.errno.ENOSYS && fd !== -constants.errno.EPERM) return fd;
    hasOpenat2 = false;
  }
  let current = start;
  for (const name of path.split('/')) {
    const next = openAt(current, name, directoryFlags);
    if (current !== start) closeFd(current);
    if (next < 0) return next;
    current = next;
  }
  return current;
}
