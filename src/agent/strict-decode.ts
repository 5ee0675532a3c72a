import type { Document } from 'yaml';
import { isAlias, isMap, isScalar, isSeq, type LineCounter, type Node, type Pair, type YAMLMap } from 'yaml';
import { closest } from '../lib/did-you-mean.ts';
import type { ManifestProblem } from './manifest-error.ts';
import { isModel, listItemType, mapValueType, modelFields } from './model-fields.ts';

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** Enough for any manifest of Kubernetes (its limit is 3 MiB), and a bound for aliases that multiply. */
const maxNodes = 200_000;
const maxDepth = 100;

/**
 * Decodes the nodes of one YAML document against the types of the Kubernetes API, as strictly as `kubectl` with
 * `--validate=strict`: unknown and repeated fields and values of another type are problems, at every depth. Null
 * counts as absent. Decoding goes on after a problem, so that one pass finds them all.
 */
export class StrictDecoder {
  readonly problems: ManifestProblem[] = [];
  readonly #document: Document;
  readonly #lines: LineCounter;
  readonly #offsets = new Map<string, number>();
  /** Paths whose values could not be decoded: that something is missing there is no news. */
  readonly #broken = new Set<string>();
  /** What each alias stands for; the library walks the whole document for each look-up. */
  readonly #targets = new Map<Node, Node | null>();
  #nodes = 0;

  constructor(document: Document, lines: LineCounter) {
    this.#document = document;
    this.#lines = lines;
  }

  /** The value of `node` as the API type `model`. What has a problem is left out of it. */
  decodeModel(node: Node | null, model: string, path: string): { [name: string]: Json } {
    const value = this.#model(this.#resolve(node), model, path, 0, []);
    return (value ?? {}) as { [name: string]: Json };
  }

  /**
   * Notes a problem at the value of `path`, or at the nearest thing around it that the file has; not if that could not
   * be decoded anyway.
   */
  report(path: string, text: string, kind: ManifestProblem['kind'] = 'invalid'): void {
    for (let at = path; at !== ''; at = parentPath(at)) if (this.#broken.has(at)) return;
    this.#problem(this.#offsetOf(path), path, text, kind);
  }

  /** Notes a problem at a node that is not decoded. */
  reportAt(node: Node | null, path: string, text: string, kind: ManifestProblem['kind'] = 'invalid'): void {
    this.#problem(node?.range?.[0] ?? this.#offsetOf(path), path, text, kind);
  }

  /** The value of field `key` of a map node; null when it is absent or empty, or `node` is no map. */
  child(node: Node | null, key: string): Node | null {
    const map = this.#resolve(node);
    const pair = isMap(map) ? map.items.find((candidate) => keyText(candidate) === key) : undefined;
    return this.#resolve((pair?.value ?? null) as Node | null);
  }

  /** Item `index` of a list node; null when there is none. */
  item(node: Node | null, index: number): Node | null {
    const list = this.#resolve(node);
    return isSeq(list) ? this.#resolve((list.items[index] ?? null) as Node | null) : null;
  }

  /** Removes the problems of kind `unsupported` that were noted from number `since` on, and returns them. */
  takeUnsupported(since: number): ManifestProblem[] {
    const noted = this.problems.splice(since);
    this.problems.push(...noted.filter((problem) => problem.kind !== 'unsupported'));
    return noted.filter((problem) => problem.kind === 'unsupported');
  }

  #offsetOf(path: string): number {
    for (let at = path; at !== ''; at = parentPath(at)) {
      const offset = this.#offsets.get(at);
      if (offset !== undefined) return offset;
    }
    return this.#document.contents?.range?.[0] ?? this.#document.range?.[0] ?? 0;
  }

  #problem(offset: number, path: string, text: string, kind: ManifestProblem['kind'] = 'invalid'): void {
    const { line, col } = this.#lines.linePos(offset);
    this.problems.push({ line, column: col, path, text, kind });
  }

  #resolve(node: Node | null | undefined): Node | null {
    if (!isAlias(node)) return node ?? null;
    let target = this.#targets.get(node);
    if (target === undefined) {
      target = node.resolve(this.#document) ?? null;
      this.#targets.set(node, target);
      if (target === null)
        this.#problem(node.range?.[0] ?? 0, '', `there is no anchor &${node.source} before the alias *${node.source}`);
    }
    return target;
  }

  /** True when the document is deeper or larger, aliases followed, than any manifest; says so once. */
  #tooLarge(node: Node | null, path: string, depth: number): boolean {
    this.#nodes += 1;
    if (this.#nodes <= maxNodes && depth <= maxDepth) return false;
    if (this.#nodes < Number.POSITIVE_INFINITY) {
      this.#problem(node?.range?.[0] ?? 0, path, 'the document is too large or refers to itself');
      this.#nodes = Number.POSITIVE_INFINITY;
    }
    return true;
  }

  #value(
    node: Node | null,
    type: string,
    format: string,
    path: string,
    depth: number,
    owners: string[],
  ): Json | undefined {
    if (node?.range && !this.#offsets.has(path)) this.#offsets.set(path, node.range[0]);
    if (node === null || (isScalar(node) && node.value === null)) return undefined;
    const itemType = listItemType(type);
    if (itemType) return this.#list(node, itemType, format, path, depth, owners);
    const valueType = mapValueType(type);
    if (valueType) return this.#stringMap(node, valueType, format, path, depth, owners);
    if (isModel(type)) return this.#model(node, type, path, depth, owners);
    if (type === 'opaque') return null;
    if (type === 'any') return this.#any(node, path, depth);
    return this.#scalar(node, type, format, path);
  }

  #model(node: Node | null, model: string, path: string, depth: number, owners: string[]): Json | undefined {
    if (this.#tooLarge(node, path, depth)) return undefined;
    if (!isMap(node)) return this.#wrongType(node, 'a map of fields', path);
    const fields = modelFields(model);
    const value: { [name: string]: Json } = {};
    for (const [key, pair] of this.#pairs(node, path)) {
      const child = joinPath(path, key);
      const field = fields.get(key);
      if (!field) {
        const keyOffset = (pair.key as Node).range?.[0] ?? 0;
        this.#problem(keyOffset, child, `unknown field${this.#suggestion(key, model, owners, path)}`);
        continue;
      }
      // The status is the server's; nothing of it is used, and its types are looser than their description.
      const type = owners.length === 0 && key === 'status' ? 'any' : field.type;
      const decoded = this.#value(this.#resolve(pair.value as Node | null), type, field.format, child, depth + 1, [
        ...owners,
        model,
      ]);
      if (decoded !== undefined) value[key] = decoded;
    }
    return value;
  }

  #list(node: Node, itemType: string, format: string, path: string, depth: number, owners: string[]): Json | undefined {
    if (this.#tooLarge(node, path, depth)) return undefined;
    if (!isSeq(node)) return this.#wrongType(node, 'a list', path);
    return node.items.map((item, index) => {
      const decoded = this.#value(
        this.#resolve(item as Node | null),
        itemType,
        format,
        `${path}[${index}]`,
        depth + 1,
        owners,
      );
      return decoded ?? emptyValue(itemType);
    });
  }

  #stringMap(
    node: Node,
    type: string,
    format: string,
    path: string,
    depth: number,
    owners: string[],
  ): Json | undefined {
    if (this.#tooLarge(node, path, depth)) return undefined;
    if (!isMap(node)) return this.#wrongType(node, 'a map', path);
    const value: { [key: string]: Json } = {};
    for (const [key, pair] of this.#pairs(node, path)) {
      const child = `${path}[${key}]`;
      const decoded = this.#value(this.#resolve(pair.value as Node | null), type, format, child, depth + 1, owners);
      value[key] = decoded ?? emptyValue(type);
    }
    return value;
  }

  #scalar(node: Node, type: string, format: string, path: string): Json | undefined {
    const value = isScalar(node) ? node.value : undefined;
    switch (type) {
      case 'boolean':
        return typeof value === 'boolean' ? value : this.#wrongType(node, 'true or false', path);
      case 'number':
        return this.#number(node, value, format, path);
      case 'Quantity':
      case 'IntOrString':
        return typeof value === 'string' || typeof value === 'number'
          ? value
          : this.#wrongType(node, 'a number or a string', path);
      default:
        return typeof value === 'string' ? value : this.#wrongType(node, 'a string', path);
    }
  }

  #number(node: Node, value: unknown, format: string, path: string): Json | undefined {
    if (format === 'double') return typeof value === 'number' ? value : this.#wrongType(node, 'a number', path);
    if (typeof value !== 'number' || !Number.isInteger(value)) return this.#wrongType(node, 'an integer', path);
    if (format === 'int32' ? Math.abs(value) > 0x7fffffff : !Number.isSafeInteger(value)) {
      this.report(path, `the number ${value} is too large`);
      this.#broken.add(path);
      return undefined;
    }
    return value;
  }

  #any(node: Node | null, path: string, depth: number): Json | undefined {
    if (this.#tooLarge(node, path, depth)) return undefined;
    if (isMap(node)) {
      const entries = this.#pairs(node, path).map(
        ([key, pair]) =>
          [key, this.#any(this.#resolve(pair.value as Node | null), joinPath(path, key), depth + 1) ?? null] as const,
      );
      return Object.fromEntries(entries);
    }
    if (isSeq(node)) {
      return node.items.map(
        (item, index) => this.#any(this.#resolve(item as Node | null), `${path}[${index}]`, depth + 1) ?? null,
      );
    }
    return isScalar(node) && node.value !== null ? (node.value as Json) : undefined;
  }

  /** Key and pair of each entry; `<<` is replaced by the entries that it brings, which never win over written ones. */
  #pairs(map: YAMLMap, path: string): [string, Pair][] {
    const written = new Map<string, Pair>();
    const merged = new Map<string, Pair>();
    for (const pair of map.items) {
      if (isMergeKey(pair)) {
        const sources = this.#resolve(pair.value as Node | null);
        for (const source of isSeq(sources) ? (sources.items as Node[]) : [sources]) {
          const resolved = this.#resolve(source);
          if (!isMap(resolved) || resolved === map) continue;
          for (const inner of resolved.items) {
            const key = keyText(inner);
            if (!merged.has(key) && !isMergeKey(inner)) merged.set(key, inner);
          }
        }
        continue;
      }
      const key = keyText(pair);
      const first = written.get(key);
      if (first) {
        const { line } = this.#lines.linePos((first.key as Node).range?.[0] ?? 0);
        const offset = (pair.key as Node).range?.[0] ?? 0;
        this.#problem(offset, joinPath(path, key), `repeated field; line ${line} has it already`);
      } else written.set(key, pair);
    }
    return [...written, ...[...merged].filter(([key]) => !written.has(key))];
  }

  #wrongType(node: Node | null, expected: string, path: string): undefined {
    this.#broken.add(path);
    const wantsString = expected === 'a string' && isScalar(node) && node.value !== null;
    const advice = wantsString ? `; put it in quotes: "${node.source ?? String(node.value)}"` : '';
    this.#problem(
      node?.range?.[0] ?? this.#offsetOf(path),
      path,
      `expected ${expected}, found ${kindOf(node)}${advice}`,
    );
  }

  /** Where the unknown field probably belongs: a similar name here, or the same name one level in, or further out. */
  #suggestion(key: string, model: string, owners: readonly string[], path: string): string {
    const fields = modelFields(model);
    const similar = closest(key, fields.keys());
    if (similar !== undefined && similar.toLowerCase() === key.toLowerCase()) return `; did you mean ${similar}?`;
    for (const field of fields.values()) {
      const item = listItemType(field.type);
      const inner = item ?? field.type;
      if (isModel(inner) && modelFields(inner).has(key))
        return `; did you mean ${joinPath(path, field.name)}${item ? '[]' : ''}.${key}?`;
    }
    const outer = owners.findLastIndex((owner) => modelFields(owner).has(key));
    if (outer !== -1 && similar === undefined) return '; it belongs further out: is it indented too far?';
    return similar === undefined ? '' : `; did you mean ${similar}?`;
  }
}

export function joinPath(path: string, field: string): string {
  return path === '' ? field : `${path}.${field}`;
}

/** `a.b[0].c` → `a.b[0]` → `a.b` → `a` → empty. */
function parentPath(path: string): string {
  if (path.endsWith(']')) return path.slice(0, path.lastIndexOf('['));
  return path.slice(0, Math.max(0, path.lastIndexOf('.')));
}

/** What Kubernetes makes of a null in a list or map: the empty value of the type. */
function emptyValue(type: string): Json {
  if (listItemType(type)) return [];
  if (isModel(type) || mapValueType(type)) return {};
  if (type === 'number') return 0;
  return type === 'boolean' ? false : '';
}

function isMergeKey(pair: Pair): boolean {
  return isScalar(pair.key) && pair.key.source === '<<' && pair.key.type === 'PLAIN';
}

/** The key as it is written: `on`, `1` and `null` are names here, whatever YAML makes of them. */
function keyText(pair: Pair): string {
  if (!isScalar(pair.key)) return String(pair.key);
  return typeof pair.key.value === 'string' ? pair.key.value : (pair.key.source ?? String(pair.key.value));
}

function kindOf(node: Node | null): string {
  if (isMap(node)) return 'a map';
  if (isSeq(node)) return 'a list';
  if (!isScalar(node) || node.value === null) return 'nothing';
  if (typeof node.value === 'string')
    return `the string "${node.value.length > 40 ? `${node.value.slice(0, 40)}…` : node.value}"`;
  return `the ${typeof node.value} ${node.source ?? String(node.value)}`;
}
