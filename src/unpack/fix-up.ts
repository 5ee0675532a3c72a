import { fstatSync } from 'node:fs';
import { constants } from 'node:os';
import { setImmediate } from 'node:timers/promises';
import { closeFd, mkdirAt, openAt, openFlags } from '../lib/libc-at.ts';
import { systemError } from '../lib/libc-library.ts';
import { listXattrs, mayBeFromImage, recordXattrs, xattrsOfFd } from './attributes.ts';
import { copyAttributes, isImageXattr } from './copy-attributes.ts';
import { DirectoryHandles, openSteps, openTreeRoot, type TreePlace } from './directory-handles.ts';
import { hostError, namingDisk } from './errors.ts';
import { LayerRecord } from './layer-record.ts';
import { deepestFirst } from './layer-tree.ts';
import { effectiveLayers, type LayerDirectory } from './stack.ts';

/**
 * The fix-up layer of a chain (K2): a layer of directories on top of it, for the two things that layers unpacked
 * without their parents cannot know. Directories that a layer only implies get their attributes from the nearest layer
 * below that lists them (P2), and directories with a whiteout that no other layer has become merged, because overlayfs
 * hides whiteouts only then (W7). It also makes of one layer two, where that layer has marks that nobody is to see.
 */

/** Lookups between two turns of the event loop. */
const lookupsPerTurn = 200;

export interface FixUpPlace {
  /** An existing empty directory; becomes the fix-up layer if one is needed. */
  readonly dir: string;
  /** A file that does not exist; receives one line for each directory, for `verifyLayer`. */
  readonly entriesFile: string;
}

/**
 * @param layers bottom first
 * @returns whether the chain needs a fix-up layer; if not, nothing is made
 */
export async function buildFixUp(layers: readonly LayerDirectory[], place: FixUpPlace): Promise<boolean> {
  const chain = new Chain(effectiveLayers(layers));
  try {
    const wanted = await wantedDirectories(chain);
    if (wanted.size === 0) return false;
    makeDirectories(chain, wanted, place);
    return true;
  } catch (error) {
    throw namingDisk(error, place.dir);
  } finally {
    chain.close();
  }
}

async function wantedDirectories(chain: Chain): Promise<Set<string>> {
  const wanted = new Set<string>();
  // A layer without another one is bound, and overlayfs hides its own marks only in what it mounts.
  if (chain.topmostFirst.length === 1 && chain.topmostFirst[0]!.opaques.size > 0) wanted.add('');
  let lookups = 0;
  for (const layer of chain.topmostFirst) {
    const candidates = [
      ...layer.directory.facts.implied.map((path) => ({ path, needed: () => chain.inheritsMore(layer, path) })),
      ...[...new Set(layer.directory.facts.whiteouts.map(parentOf))].map((path) => ({
        path,
        needed: () => chain.isOnlyIn(layer, path),
      })),
    ];
    for (const { path, needed } of candidates) {
      if (!wanted.has(path) && needed()) wanted.add(path);
      lookups += 1;
      if (lookups % lookupsPerTurn === 0) await setImmediate();
    }
  }
  return wanted;
}

interface FixUpNode extends TreePlace {
  readonly path: string;
  readonly parent: FixUpNode | undefined;
  readonly children: Map<string, FixUpNode>;
}

function makeDirectories(chain: Chain, wanted: ReadonlySet<string>, { dir, entriesFile }: FixUpPlace): void {
  const record = new LayerRecord(entriesFile);
  const root: FixUpNode = { path: '', name: '', parent: undefined, children: new Map() };
  const handles = new DirectoryHandles(root, openTreeRoot(dir));
  try {
    for (const path of wanted) {
      let node = root;
      for (const name of path === '' ? [] : path.split('/')) {
        let child = node.children.get(name);
        if (child === undefined) {
          const made = mkdirAt(handles.get(node), name, 0o700);
          if (made < 0) throw hostError(path, systemError(-made, 'mkdir'));
          child = { path: node === root ? name : `${node.path}/${name}`, name, parent: node, children: new Map() };
          node.children.set(name, child);
        }
        node = child;
      }
    }
    for (const node of deepestFirst(root, ({ children }) => children.values())) {
      const fd = handles.get(node);
      chain.copyEffective(node.path, fd);
      if (node !== root) recordDirectory(record, node.path, fd);
    }
    record.flush();
  } finally {
    handles.close();
    record.close();
  }
}

function recordDirectory(record: LayerRecord, path: string, fd: number): void {
  const { mode, uid, gid, mtimeNs } = fstatSync(fd, { bigint: true });
  const mtime = { sec: Number(mtimeNs / 1_000_000_000n), nsec: Number(mtimeNs % 1_000_000_000n) };
  const attributes = { mode: Number(mode) & 0o7777, uid: Number(uid), gid: Number(gid), mtime };
  const xattrs = xattrsOfFd(fd);
  const content = { size: 0, content: '', xattrs: recordXattrs(xattrs.names().filter(mayBeFromImage), xattrs) };
  record.add(path, 'dir', attributes, content);
}

/** One layer of the chain, with its facts as sets. */
interface OpenLayer {
  readonly directory: LayerDirectory;
  readonly fd: number;
  readonly implied: ReadonlySet<string>;
  readonly whiteouts: ReadonlySet<string>;
  readonly opaques: ReadonlySet<string>;
  readonly fresh: ReadonlySet<string>;
}

/** What the layers of a chain make of one directory. */
interface Merged {
  /** Layers whose content is part of it, topmost first. */
  readonly contributors: readonly OpenLayer[];
  /** The nearest layer that lists it or made it anew; an opaque marker hides content, not attributes (W3). */
  readonly provider: OpenLayer | undefined;
}

class Chain {
  readonly topmostFirst: readonly OpenLayer[];
  readonly #merged = new Map<string, Merged>();

  constructor(layers: readonly LayerDirectory[]) {
    this.topmostFirst = [...layers].reverse().map((directory) => ({
      directory,
      fd: openTreeRoot(directory.dir),
      implied: new Set(directory.facts.implied),
      whiteouts: new Set(directory.facts.whiteouts),
      opaques: new Set(directory.facts.opaques),
      fresh: new Set(directory.facts.fresh),
    }));
  }

  close(): void {
    for (const { fd } of this.topmostFirst) closeFd(fd);
  }

  /** Whether the topmost layer that has the directory only implies it, and one below gives it other attributes. */
  inheritsMore(layer: OpenLayer, path: string): boolean {
    const { contributors, provider } = this.#mergedAt(path);
    if (contributors[0] !== layer || provider === undefined) return false;
    return withDirectory(provider, path, (fd) => !isPlain(fd, provider));
  }

  isOnlyIn(layer: OpenLayer, path: string): boolean {
    const { contributors } = this.#mergedAt(path);
    return contributors.length === 1 && contributors[0] === layer;
  }

  copyEffective(path: string, toFd: number): void {
    const { contributors, provider } = this.#mergedAt(path);
    const source = provider ?? contributors[0]!;
    withDirectory(source, path, (fd) => copyAttributes(fd, toFd, path, source.directory.facts.marks));
  }

  #mergedAt(path: string): Merged {
    const known = this.#merged.get(path);
    if (known) return known;
    const contributors: OpenLayer[] = [];
    let provider: OpenLayer | undefined;
    let showsMore = true;
    const ancestors = [...ancestorsOf(path)];
    for (const layer of this.topmostFirst) {
      if ([path, ...ancestors].some((above) => layer.whiteouts.has(above))) break;
      const state = lookUp(layer, path);
      if (state === 'other') break;
      if (state === 'directory') {
        if (showsMore) contributors.push(layer);
        if (!layer.implied.has(path)) provider ??= layer;
      }
      if (layer.opaques.has(path)) showsMore = false;
      const isCut = layer.fresh.has(path) || ancestors.some((above) => layer.opaques.has(above));
      if (isCut || (provider !== undefined && !showsMore)) break;
    }
    const merged = { contributors, provider };
    this.#merged.set(path, merged);
    return merged;
  }
}

/** `other`: the path, or something above it, is no directory in this layer. */
function lookUp(layer: OpenLayer, path: string): 'directory' | 'absent' | 'other' {
  if (path === '') return 'directory';
  const fd = openSteps(layer.fd, path.split('/'));
  if (fd === -constants.errno.ENOENT) return 'absent';
  if (fd === -constants.errno.ENOTDIR || fd === -constants.errno.ELOOP) return 'other';
  if (fd < 0) throw hostError(path, systemError(-fd, 'open'));
  closeFd(fd);
  return 'directory';
}

function withDirectory<T>(layer: OpenLayer, path: string, use: (fd: number) => T): T {
  const fd = path === '' ? openAt(layer.fd, '.', openFlags.directory) : openSteps(layer.fd, path.split('/'));
  if (fd < 0) throw hostError(path, systemError(-fd, 'open'));
  try {
    return use(fd);
  } finally {
    closeFd(fd);
  }
}

/** As an implied directory is anyway. */
function isPlain(fd: number, layer: OpenLayer): boolean {
  const { mode, uid, gid } = fstatSync(fd);
  const { marks } = layer.directory.facts;
  return (
    (mode & 0o7777) === 0o755 && uid === 0 && gid === 0 && !listXattrs(fd).some((name) => isImageXattr(name, marks))
  );
}

function* ancestorsOf(path: string): Generator<string> {
  for (let at = parentOf(path); at !== ''; at = parentOf(at)) yield at;
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
