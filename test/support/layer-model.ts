import type { TarFields } from './tar-builder.ts';

/**
 * What a stack of layers must look like, worked out from the rules for layers on flat maps of paths: slow, without a
 * file system, and without a line in common with the unpacker. Knows what random layers contain: ASCII names, the types
 * 0 – 3, 5 and 6, `SCHILY.xattr.user.*`.
 */

/** The archive breaks a rule; the layer must be refused. */
export class ModelError extends Error {}

interface Inode {
  type: string;
  mode: number;
  owner: string;
  mtime: number;
  content: string;
  xattrs: string;
}

interface Entry {
  inode: Inode;
  /** Directories: an entry lists it. */
  listed: boolean;
  /** Directories: only whiteouts asked for it. */
  ghost: boolean;
  /** Directories: something else stood here before. */
  afterOther: boolean;
}

interface Layer {
  entries: Map<string, Entry>;
  whiteouts: Set<string>;
  opaques: Set<string>;
}

/**
 * One line per path: `path type mode owner content xattrs`, with the time for all but directories and the first name
 * for names that share an inode.
 * @param layers bottom first
 */
export function modelTree(layers: readonly (readonly TarFields[])[]): string[] {
  const merged = new Map<string, Entry>();
  for (const entries of layers) merge(merged, applyLayer(entries));
  const firstNames = new Map<Inode, string>();
  return [...merged.keys()].sort().map((path) => {
    const { inode } = merged.get(path)!;
    const first = firstNames.get(inode) ?? path;
    firstNames.set(inode, first);
    return modelLine(path, inode, first);
  });
}

export function modelLine(path: string, inode: Inode, first: string): string {
  const { type, mode, owner, mtime, content, xattrs } = inode;
  const parts = [path, type, mode.toString(8), owner, content, xattrs];
  if (type !== 'dir') parts.push(`${mtime}`, `same-as=${first}`);
  return parts.join(' ');
}

/** @throws ModelError for what no layer may hold */
export function applyLayer(fields: readonly TarFields[]): Layer {
  const layer: Layer = { entries: new Map(), whiteouts: new Set(), opaques: new Set() };
  for (const field of fields) applyEntry(layer, field);
  // A directory that only whiteouts asked for is not made where it is itself deleted.
  for (const path of [...layer.entries.keys()].sort()) {
    const entry = layer.entries.get(path);
    if (entry?.ghost && layer.whiteouts.has(path)) remove(layer.entries, path);
  }
  return layer;
}

function applyEntry(layer: Layer, field: TarFields): void {
  const components = field.name.split('/').filter((component) => component !== '');
  const base = components.pop()!;
  if (base === '.wh..wh..opq') {
    layer.opaques.add(resolve(layer, components, { ghost: true }));
    return;
  }
  if (base.startsWith('.wh.')) {
    layer.whiteouts.add(join(resolve(layer, components, { ghost: true }), base.slice(4)));
    return;
  }
  if (field.type === '3') {
    // 0:0 only: the same as a whiteout.
    layer.whiteouts.add(join(resolve(layer, components, { ghost: true }), base));
    return;
  }
  const path = join(resolve(layer, components, { ghost: true }), base);
  const before = layer.entries.get(path);
  const own: Inode = {
    type: { '5': 'dir', '2': 'symlink', '6': 'fifo' }[field.type ?? '0'] ?? 'file',
    mode: field.type === '2' ? 0o777 : (field.mode ?? 0o644),
    owner: `${field.uid ?? 0}:${field.gid ?? 0}`,
    mtime: field.mtime ?? 1_500_000_000,
    content: field.type === '2' ? field.link! : field.type === undefined ? `${field.data ?? ''}` : '',
    xattrs: Object.values(field.pax ?? {}).join(),
  };
  const inode = field.type === '1' ? linkedInode(layer, path, field.link!, own) : own;
  const keepsChildren = inode.type === 'dir' && before?.inode.type === 'dir';
  if (!keepsChildren) remove(layer.entries, path);
  makeReal(layer, path.slice(0, Math.max(0, path.lastIndexOf('/'))));
  const afterOther = keepsChildren ? before.afterOther : before !== undefined && inode.type === 'dir';
  layer.entries.set(path, { inode, listed: true, ghost: false, afterOther });
}

function linkedInode(layer: Layer, path: string, link: string, own: Inode): Inode {
  const components = link.split('/');
  const base = components.pop()!;
  const parent = resolve(layer, components, { ghost: false });
  const target = join(parent, base);
  const inode = layer.entries.get(target)?.inode;
  if (!inode || inode.type === 'dir') throw new ModelError('no target');
  if (target === path || target.startsWith(`${path}/`)) throw new ModelError('the target goes away');
  if (inode.type !== 'symlink') inode.mode = own.mode;
  inode.owner = own.owner;
  inode.mtime = own.mtime;
  return inode;
}

/** As chroot would. With `ghost`, what is missing is noted as asked for; else it is an error. */
function resolve(layer: Layer, components: readonly string[], { ghost }: { ghost: boolean }): string {
  const rest = [...components];
  let at = '';
  for (let links = 0; rest.length > 0; ) {
    const component = rest.shift()!;
    if (component === '' || component === '.') continue;
    if (component === '..') {
      at = at.slice(0, Math.max(0, at.lastIndexOf('/')));
      continue;
    }
    const path = join(at, component);
    const inode = layer.entries.get(path)?.inode;
    if (inode?.type === 'symlink') {
      links += 1;
      if (links > 255) throw new ModelError('a loop');
      if (inode.content.startsWith('/')) at = '';
      rest.unshift(...inode.content.split('/'));
      continue;
    }
    if (inode && inode.type !== 'dir') throw new ModelError('no directory');
    if (!inode) {
      if (!ghost) throw new ModelError('missing');
      layer.entries.set(path, { inode: impliedInode(), listed: false, ghost: true, afterOther: false });
    }
    at = path;
  }
  return at;
}

function makeReal(layer: Layer, path: string): void {
  for (let at = path; at !== ''; at = at.slice(0, Math.max(0, at.lastIndexOf('/'))))
    layer.entries.get(at)!.ghost = false;
}

function impliedInode(): Inode {
  return { type: 'dir', mode: 0o755, owner: '0:0', mtime: 0, content: '', xattrs: '' };
}

function merge(merged: Map<string, Entry>, { entries, whiteouts, opaques }: Layer): void {
  for (const path of whiteouts) remove(merged, path);
  for (const path of opaques) {
    // Gone with a whiteout above it.
    if (path === '' || entries.has(path)) removeBelow(merged, path);
  }
  for (const path of [...entries.keys()].sort()) {
    const entry = entries.get(path)!;
    if (entry.afterOther) remove(merged, path);
    const below = merged.get(path);
    const mergesWith = entry.inode.type === 'dir' && below?.inode.type === 'dir';
    if (mergesWith && !entry.listed) continue;
    if (!mergesWith) remove(merged, path);
    merged.set(path, entry);
  }
}

function remove(entries: Map<string, Entry>, path: string): void {
  entries.delete(path);
  removeBelow(entries, path);
}

function removeBelow(entries: Map<string, Entry>, path: string): void {
  for (const other of [...entries.keys()]) if (path === '' || other.startsWith(`${path}/`)) entries.delete(other);
}

function join(parent: string, name: string): string {
  return parent === '' ? name : `${parent}/${name}`;
}
