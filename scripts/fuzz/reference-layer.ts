import { crc32 } from 'node:zlib';
import { need, type ReferenceEntry, Refused } from './reference-tar.ts';

/**
 * The other part of the reference: applies entries to a flat map of paths, by the rules for layers (layers.md N, E, P,
 * M, W), and says what has to be on disk and in the facts. For an overlayfs of root.
 */

interface Inode {
  readonly type: 'file' | 'symlink' | 'char' | 'block' | 'fifo' | 'dir';
  mode: number;
  uid: bigint;
  gid: bigint;
  time: bigint;
  readonly size: number;
  readonly content: string;
}

interface Node {
  inode: Inode;
  /** Directories: an entry lists it. */
  listed: boolean;
  /** Directories: only asked for, by whiteouts or on the way to something. */
  ghost: boolean;
  afterOther: boolean;
}

export interface ReferenceLayer {
  /** One JSON array for each path, as in the record of a layer; sorted. */
  readonly record: readonly string[];
  readonly facts: {
    readonly implied: readonly string[];
    readonly whiteouts: readonly string[];
    readonly opaques: readonly string[];
    readonly fresh: readonly string[];
    readonly rootOpaque: boolean;
  };
  /** Content of sparse files, which the record does not tell. */
  readonly sparse: ReadonlyMap<string, Buffer>;
}

/** @throws Refused */
export function referenceLayer(entries: readonly ReferenceEntry[]): ReferenceLayer {
  const layer = new Layer();
  for (const entry of entries) layer.apply(entry);
  return layer.finish();
}

class Layer {
  readonly #nodes = new Map<string, Node>();
  readonly #whiteouts = new Set<string>();
  readonly #opaques = new Set<string>();
  readonly #sparse = new Map<Inode, Buffer>();

  apply(entry: ReferenceEntry): void {
    const names = clean(entry.name);
    const last = names.at(-1);
    if (last === undefined) return;
    if (names.some((name, index) => name.startsWith('.wh..wh.') && !isOpaqueMarker(names, index))) return;
    const parents = names.slice(0, -1);
    need(!parents.some((name) => name.startsWith('.wh.')), 'a directory with the name of a whiteout');
    if (last === '.wh..wh..opq') {
      checkLength(parents);
      this.#opaques.add(this.#resolve(parents, 'ask'));
      return;
    }
    if (last.startsWith('.wh.')) {
      const hidden = last.slice(4);
      need(!['', '.', '..'].includes(hidden), 'a whiteout of nothing');
      checkLength([...parents, hidden]);
      this.#whiteouts.add(join(this.#resolve(parents, 'ask'), hidden));
      return;
    }
    checkLength(names);
    need('0123456'.includes(entry.type), 'a type that images do not have');
    this.#make(join(this.#resolve(parents, 'ask'), last), entry);
  }

  finish(): ReferenceLayer {
    for (const path of [...this.#nodes.keys()].sort()) {
      if (this.#nodes.get(path)?.ghost && this.#whiteouts.has(path)) this.#remove(path);
    }
    const rootOpaque = this.#opaques.has('');
    const directories = [...this.#nodes].filter(([, { inode }]) => inode.type === 'dir').map(([path]) => path);
    const fresh = directories.filter((path) => this.#whiteouts.has(path) || this.#nodes.get(path)!.afterOther);
    const opaques = directories.filter((path) => fresh.includes(path) || this.#opaques.has(path));
    const implied = directories.filter((path) => !fresh.includes(path) && !this.#nodes.get(path)!.listed);
    const isBelowOpaque = (path: string) => rootOpaque || opaques.some((above) => path.startsWith(`${above}/`));
    const whiteouts = [...this.#whiteouts].filter((path) => !this.#nodes.has(path) && !isBelowOpaque(path));
    const record = [...this.#nodes].map(([path, { inode }]) => {
      const content = opaques.includes(path) ? 'trusted.overlay.opaque' : inode.content;
      return line(path, inode.type, { ...inode, content });
    });
    record.push(...whiteouts.map((path) => line(path, 'whiteout', impliedDirectory())));
    const sparse = [...this.#nodes].flatMap(([path, { inode }]) => {
      const data = this.#sparse.get(inode);
      return data ? [[path, data] as const] : [];
    });
    return {
      record: record.sort(),
      facts: {
        implied: implied.sort(),
        whiteouts: whiteouts.sort(),
        opaques: opaques.sort(),
        fresh: fresh.sort(),
        rootOpaque,
      },
      sparse: new Map(sparse),
    };
  }

  #make(path: string, entry: ReferenceEntry): void {
    const { type, uid, gid, device } = entry;
    need(
      [uid, gid].every((id) => id >= 0n && id <= 2n ** 32n - 2n),
      'an owner that nobody can be',
    );
    if (type === '3' || type === '4') {
      const [major, minor] = device;
      need(major >= 0n && major <= 4095n && minor >= 0n && minor <= 1_048_575n, 'a device that Linux does not have');
      if (type === '3' && major === 0n && minor === 0n) {
        this.#whiteouts.add(path);
        return;
      }
    }
    const before = this.#nodes.get(path);
    const inode = type === '1' ? this.#linked(path, entry) : this.#inodeOf(entry);
    const staysDirectory = inode.type === 'dir' && before?.inode.type === 'dir';
    if (!staysDirectory) this.#remove(path);
    for (let above = parentOf(path); above !== ''; above = parentOf(above)) this.#nodes.get(above)!.ghost = false;
    const afterOther = staysDirectory ? before.afterOther : inode.type === 'dir' && before !== undefined;
    this.#nodes.set(path, { inode, listed: true, ghost: false, afterOther });
  }

  #inodeOf({ type, mode, uid, gid, time, link, data, device, isSparse }: ReferenceEntry): Inode {
    const own = { mode, uid, gid, time, size: 0, content: '' };
    switch (type) {
      case '2':
        need(link !== '' && link.length <= 4095, 'a symlink target that no symlink has');
        return { ...own, type: 'symlink', mode: 0o777, content: link };
      case '3':
      case '4':
        return { ...own, type: type === '3' ? 'char' : 'block', content: device.join(':') };
      case '5':
        return { ...own, type: 'dir' };
      case '6':
        return { ...own, type: 'fifo' };
      default: {
        const content = isSparse ? '' : crc32(data).toString(16).padStart(8, '0');
        const inode: Inode = { ...own, type: 'file', size: data.byteLength, content };
        if (isSparse) this.#sparse.set(inode, data);
        return inode;
      }
    }
  }

  #linked(path: string, { link, mode, uid, gid, time }: ReferenceEntry): Inode {
    const names = clean(link);
    const last = names.at(-1);
    need(last !== undefined && !names.some((name) => name.startsWith('.wh..wh.')), 'a link to nothing');
    checkLength(names);
    const target = join(this.#resolve(names.slice(0, -1), 'look'), last);
    const inode = this.#nodes.get(target)?.inode;
    need(inode !== undefined && inode.type !== 'dir', 'a link to nothing');
    need(target !== path && !target.startsWith(`${path}/`), 'a link that replaces its target');
    if (inode.type !== 'symlink') inode.mode = mode;
    Object.assign(inode, { uid, gid, time });
    return inode;
  }

  /** As chroot would. `ask` notes what is missing; `look` refuses it. */
  #resolve(names: readonly string[], how: 'ask' | 'look'): string {
    const rest = [...names];
    let at = '';
    for (let links = 0; rest.length > 0; ) {
      const name = rest.shift()!;
      if (name === '' || name === '.') continue;
      if (name === '..') {
        const left = at;
        at = parentOf(at);
        if (this.#isUnused(left)) this.#nodes.delete(left);
        continue;
      }
      const path = join(at, name);
      const inode = this.#nodes.get(path)?.inode;
      if (inode?.type === 'symlink') {
        links += 1;
        need(links <= 255, 'a loop of symlinks');
        if (inode.content.startsWith('/')) at = '';
        rest.unshift(...inode.content.split('/'));
        continue;
      }
      need(inode === undefined || inode.type === 'dir', 'a parent that is no directory');
      if (inode === undefined) {
        need(how === 'ask', 'a missing parent');
        need(name.length <= 255, 'a long name');
        this.#nodes.set(path, { inode: impliedDirectory(), listed: false, ghost: true, afterOther: false });
      }
      at = path;
    }
    return at;
  }

  #isUnused(path: string): boolean {
    const isBelow = (other: string) => other.startsWith(`${path}/`);
    return (
      this.#nodes.get(path)?.ghost === true &&
      !this.#opaques.has(path) &&
      ![...this.#nodes.keys(), ...this.#whiteouts].some(isBelow)
    );
  }

  /** With everything below, and what was said about it. */
  #remove(path: string): void {
    const isBelow = (other: string) => other.startsWith(`${path}/`);
    this.#opaques.delete(path);
    this.#nodes.delete(path);
    for (const all of [this.#nodes, this.#whiteouts, this.#opaques]) {
      for (const other of [...all.keys()]) if (isBelow(other)) all.delete(other);
    }
  }
}

function clean(name: string): string[] {
  const names: string[] = [];
  for (const part of name.split('/')) {
    if (part === '..' && names.pop() === undefined) throw new Refused('a name that leaves the root');
    if (!['', '.', '..'].includes(part)) names.push(part);
  }
  return names;
}

function isOpaqueMarker(names: readonly string[], index: number): boolean {
  return index === names.length - 1 && names[index] === '.wh..wh..opq';
}

function checkLength(names: readonly string[]): void {
  need(names.every((name) => name.length <= 255) && names.join('/').length <= 4095, 'a long name');
}

function impliedDirectory(): Inode {
  return { type: 'dir', mode: 0o755, uid: 0n, gid: 0n, time: 0n, size: 0, content: '' };
}

function line(path: string, type: string, { mode, uid, gid, time, size, content }: Omit<Inode, 'type'>): string {
  return JSON.stringify([path, type, mode, Number(uid), Number(gid), size, String(time), content]);
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

function join(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`;
}
