import { entryError } from './errors.ts';

/**
 * Names of entries. A name is a byte string: one character per byte (latin1), so that names which differ only in bytes
 * that are no UTF-8 stay different (N1). Nothing here looks at the file system.
 */

export const maxComponentBytes = 255;
export const maxPathBytes = 4095;

const whiteoutPrefix = '.wh.';
const aufsPrefix = '.wh..wh.';
const opaqueName = '.wh..wh..opq';

export type EntryName =
  /** An ordinary entry; `components` is never empty. */
  | { readonly kind: 'entry'; readonly components: readonly string[] }
  /** Hides the last of `components` in the layers below (W1). */
  | { readonly kind: 'whiteout'; readonly components: readonly string[] }
  /** Hides everything below the directory `components`, which may be the root (W3, W8). */
  | { readonly kind: 'opaque'; readonly components: readonly string[] }
  /** The root itself (N4), or bookkeeping of AUFS (W6). */
  | { readonly kind: 'skip' };

/**
 * Cleans a name and says what it asks for (N2 – N6, W1, W3, W5, W6).
 * @throws LayerError `unsafe-path`, `bad-whiteout`, `name-too-long`
 */
export function classifyName(name: string): EntryName {
  const components = cleanName(name);
  if (components.length === 0) return { kind: 'skip' };
  const last = components[components.length - 1]!;
  // Few names hold the prefix at all, and the test for it is cheap.
  if (!name.includes(whiteoutPrefix)) {
    checkLength(name, components);
    return { kind: 'entry', components };
  }
  if (isAufsLeftover(components)) return { kind: 'skip' };
  const parents = components.slice(0, -1);
  if (parents.some((component) => component.startsWith(whiteoutPrefix))) {
    throw entryError('bad-whiteout', name, 'a directory cannot have a name that begins with .wh.');
  }
  if (last === opaqueName) {
    checkLength(name, parents);
    return { kind: 'opaque', components: parents };
  }
  if (!last.startsWith(whiteoutPrefix)) {
    checkLength(name, components);
    return { kind: 'entry', components };
  }
  const hidden = last.slice(whiteoutPrefix.length);
  if (hidden === '' || hidden === '.' || hidden === '..') {
    throw entryError('bad-whiteout', name, 'this whiteout names no file');
  }
  checkLength(name, [...parents, hidden]);
  return { kind: 'whiteout', components: [...parents, hidden] };
}

/**
 * The target of a hardlink as components, cleaned as names are; empty for the root; undefined for AUFS bookkeeping,
 * which is never there.
 * @throws LayerError `unsafe-path`, `name-too-long`
 */
export function cleanLinkTarget(name: string, target: string): readonly string[] | undefined {
  const components = cleanName(target, name);
  if (components.some((component) => component.startsWith(aufsPrefix))) return undefined;
  checkLength(name, components);
  return components;
}

/** N2, N3: lexical, before any symlink is looked at. */
function cleanName(name: string, shownAs = name): string[] {
  const components: string[] = [];
  for (const component of name.split('/')) {
    if (component === '' || component === '.') continue;
    if (component !== '..') components.push(component);
    else if (components.pop() === undefined)
      throw entryError('unsafe-path', shownAs, 'the name climbs out of the root');
  }
  return components;
}

function isAufsLeftover(components: readonly string[]): boolean {
  const last = components.length - 1;
  return components.some(
    (component, index) => component.startsWith(aufsPrefix) && !(index === last && component === opaqueName),
  );
}

/** N6. */
function checkLength(name: string, components: readonly string[]): void {
  let total = Math.max(0, components.length - 1);
  for (const component of components) {
    if (component.length > maxComponentBytes) {
      throw entryError('name-too-long', name, `a component of ${component.length} bytes; file systems take 255`);
    }
    total += component.length;
  }
  if (total > maxPathBytes)
    throw entryError('name-too-long', name, `a path of ${total} bytes; Linux takes ${maxPathBytes}`);
}
