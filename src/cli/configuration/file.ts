import { isMap, isScalar, LineCounter, type Node, parseDocument } from 'yaml';
import { closest } from '../../lib/did-you-mean.ts';
import { type KeyName, keyNames } from './keys.ts';

export interface FileValue {
  readonly value: unknown;
  /** `FILE:LINE`. */
  readonly place: string;
}

export interface FileContent {
  readonly values: ReadonlyMap<KeyName, FileValue>;
  readonly problems: readonly string[];
}

/** `store.keepCompressedLayers`, and `store`. */
const keysAndLevels = new Set(keyNames.flatMap((name) => [name.replace(/\..*/, ''), name]));

/** Reads a configuration file. Keys are nested: `store: {keepCompressedLayers: never}`. */
export function readConfigurationText(text: string, file: string): FileContent {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const placeOf = (offset: number) => `${file}:${lines.linePos(offset).line}`;
  const problems = document.errors.map(({ pos, message }) => `${placeOf(pos[0])}: ${message}`);
  const values = new Map<KeyName, FileValue>();
  const read = (node: Node | null, path: string) => {
    const name = keyNames.find((known) => known === path);
    const place = node?.range ? placeOf(node.range[0]) : file;
    // A key without a value says nothing.
    if (node === null || (isScalar(node) && node.value === null)) return;
    if (name) {
      values.set(name, { value: node.toJS(document), place });
    } else if (!isMap(node)) {
      problems.push(`${place}: ${path === '' ? 'expected keys with values' : `${path} has keys of its own`}`);
    } else {
      for (const { key, value } of node.items) {
        const part = isScalar(key) ? String(key.value) : '?';
        const inner = path === '' ? part : `${path}.${part}`;
        if (keyNames.some((known) => known === inner || known.startsWith(`${inner}.`))) {
          read(value as Node | null, inner);
        } else {
          const near = closest(inner, keysAndLevels);
          const where = isScalar(key) && key.range ? placeOf(key.range[0]) : place;
          problems.push(`${where}: there is no key ${inner}${near === undefined ? '' : `; did you mean ${near}?`}`);
        }
      }
    }
  };
  if (problems.length === 0) read(document.contents, '');
  return { values, problems };
}
