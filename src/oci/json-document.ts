import { errorMessage } from '../lib/errors.ts';
import { type Digest, parseDigest } from './digest.ts';

/** A value inside a JSON document that came over the network, with its path for messages: `layers[2].size`. */
export class JsonValue {
  readonly value: unknown;
  readonly #path: string;
  readonly #fail: (problem: string) => never;

  constructor(value: unknown, fail: (problem: string) => never, path = '') {
    this.value = value;
    this.#fail = fail;
    this.#path = path;
  }

  /** Absent and `null` are the same: encoders of Go write `null` for an empty list. */
  get present(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  member(name: string): JsonValue {
    return new JsonValue(this.#object()[name], this.#fail, this.#path === '' ? name : `${this.#path}.${name}`);
  }

  has(name: string): boolean {
    return this.member(name).present;
  }

  text(): string {
    if (typeof this.value !== 'string') this.wrong('a text');
    return this.value;
  }

  /** A whole number from 0 to 2^53 − 1. */
  count(): number {
    if (!Number.isSafeInteger(this.value) || (this.value as number) < 0) this.wrong('a whole number, 0 or more');
    return this.value as number;
  }

  flag(): boolean {
    if (typeof this.value !== 'boolean') this.wrong('true or false');
    return this.value;
  }

  digest(): Digest {
    try {
      return parseDigest(this.text());
    } catch (error) {
      return this.#fail(`${this.#path}: ${errorMessage(error)}`);
    }
  }

  list<T>(each: (item: JsonValue) => T): readonly T[] {
    if (!this.present) return [];
    if (!Array.isArray(this.value)) this.wrong('a list');
    return this.value.map((item, index) => each(new JsonValue(item, this.#fail, `${this.#path}[${index}]`)));
  }

  map<T>(each: (item: JsonValue) => T): Readonly<Record<string, T>> {
    return Object.fromEntries(Object.keys(this.#object()).map((name) => [name, each(this.member(name))]));
  }

  /** What `read` makes of it, as a member to spread into a result: nothing when absent. */
  optional<K extends string, T>(key: K, read: (value: JsonValue) => T): { readonly [P in K]?: T } {
    return this.present ? ({ [key]: read(this) } as { readonly [P in K]?: T }) : {};
  }

  wrong(expected: string): never {
    const found = this.value === undefined ? 'nothing' : (JSON.stringify(this.value) ?? String(this.value));
    const shown = found.length > 60 ? `${found.slice(0, 57)}…` : found;
    return this.#fail(`${this.#path === '' ? 'it' : this.#path} must be ${expected}, but is ${shown}`);
  }

  #object(): Record<string, unknown> {
    if (typeof this.value !== 'object' || this.value === null || Array.isArray(this.value)) this.wrong('an object');
    return this.value as Record<string, unknown>;
  }
}

/** Parses the bytes of a JSON document; `fail` throws what the caller's document reports. */
export function parseJsonDocument(bytes: Uint8Array, fail: (problem: string) => never): JsonValue {
  try {
    return new JsonValue(JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)), fail);
  } catch (error) {
    return fail(`it is not JSON (${errorMessage(error)})`);
  }
}
