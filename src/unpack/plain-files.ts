import { randomBytes } from 'node:crypto';
import type { EntryRecord } from '../lib/layer-facts.ts';
import type { LayerRecord, RecordedAttributes, RecordedContent } from './layer-record.ts';

const removed = -2;
const free = -1;
/** So that nobody can make names that all have one hash. */
const seed = randomBytes(4).readUInt32LE();

/**
 * The ordinary files of a layer, which are nearly all that layers have: only their lines in the record, found by a hash
 * of the path. An object for each took 240 bytes instead of 20; a pull of 120,000 small files peaked at 156 MB then.
 */
export class PlainFiles {
  readonly #record: LayerRecord;
  #hashes = new Uint32Array(1024);
  #offsets = new Float64Array(1024).fill(free);
  #used = 0;
  #contentBytes = 0;

  constructor(record: LayerRecord) {
    this.#record = record;
  }

  /** Of all of them together. */
  get contentBytes(): number {
    return this.#contentBytes;
  }

  /** Nothing else is at the path. */
  add(path: string, attributes: RecordedAttributes, own: RecordedContent): void {
    if (this.#used * 4 >= this.#hashes.length * 3) this.#grow();
    this.#put(hashOf(path), this.#record.add(path, 'file', attributes, own));
    this.#contentBytes += own.size;
  }

  find(path: string): EntryRecord | undefined {
    return this.#find(path)?.record;
  }

  /** The file is no longer there, or no longer an ordinary one. */
  remove(path: string): void {
    const found = this.#find(path);
    if (!found) return;
    this.#offsets[found.slot] = removed;
    this.#contentBytes -= found.record.size;
    this.#record.remove(path);
  }

  #find(path: string): { slot: number; record: EntryRecord } | undefined {
    const hash = hashOf(path);
    const mask = this.#hashes.length - 1;
    for (let slot = hash & mask; this.#offsets[slot] !== free; slot = (slot + 1) & mask) {
      if (this.#hashes[slot] !== hash || this.#offsets[slot] === removed) continue;
      const record = this.#record.read(this.#offsets[slot]!);
      if (record.path === path) return { slot, record };
    }
    return undefined;
  }

  #put(hash: number, offset: number): void {
    const mask = this.#hashes.length - 1;
    let slot = hash & mask;
    while (this.#offsets[slot] !== free) slot = (slot + 1) & mask;
    this.#hashes[slot] = hash;
    this.#offsets[slot] = offset;
    this.#used += 1;
  }

  #grow(): void {
    const [hashes, offsets] = [this.#hashes, this.#offsets];
    this.#hashes = new Uint32Array(hashes.length * 2);
    this.#offsets = new Float64Array(hashes.length * 2).fill(free);
    this.#used = 0;
    for (const [slot, offset] of offsets.entries()) if (offset >= 0) this.#put(hashes[slot]!, offset);
  }
}

/** FNV-1a. */
function hashOf(path: string): number {
  let hash = seed;
  for (let index = 0; index < path.length; index += 1) hash = Math.imul(hash ^ path.charCodeAt(index), 0x01000193);
  return hash >>> 0;
}
