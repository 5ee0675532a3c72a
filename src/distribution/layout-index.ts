import { closeSync, existsSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { makeFolders } from '../lib/make-folders.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { type ImageIndex, parseManifest } from '../oci/manifest.ts';
import { mediaTypes } from '../oci/media-types.ts';
import { BlobStore } from '../store/index.ts';
import { layoutName, nameAnnotation } from './layout-names.ts';
import type { NewManifest } from './metadata.ts';
import { isRepositoryName } from './routes.ts';

const indexName = 'index.json';
const layoutFile = 'oci-layout';

/** An entry of the list, with members that Lading does not know. */
type Entry = Pick<Descriptor, 'mediaType' | 'digest' | 'size' | 'annotations'>;

/** What an entry stands for, its name taken as it is written: a registry in front belongs to the repository. */
export interface NamedEntry {
  readonly entry: Entry;
  readonly repository: string;
  readonly tag: string | undefined;
}

/**
 * The list of images of an OCI layout that a registry writes to, and the files of their manifests. Everything here is
 * synchronous: it happens within the transaction that changes the registry's rows, so that no two writers meet and what
 * was acknowledged is in both.
 */
export class LayoutIndex {
  readonly #folder: string;
  readonly #fallback: string;
  readonly #blobs: BlobStore;

  constructor(folder: string) {
    this.#folder = folder;
    this.#fallback = repositoryOfFolder(folder);
    this.#blobs = new BlobStore(folder);
  }

  static isIn(folder: string): boolean {
    return existsSync(join(folder, layoutFile)) || existsSync(join(folder, indexName));
  }

  /** Makes an empty layout. */
  static create(folder: string): LayoutIndex {
    const index = new LayoutIndex(folder);
    makeFolders(folder);
    index.#replace(layoutFile, JSON.stringify({ imageLayoutVersion: '1.0.0' }));
    index.#write([]);
    return index;
  }

  /** @throws whatever is wrong with the file */
  entries(): readonly NamedEntry[] {
    const bytes = readFileSync(join(this.#folder, indexName));
    return (parseManifest(bytes, mediaTypes.ociIndex) as ImageIndex).manifests.map((entry) => {
      const { registry, repository, tag } = layoutName(entry, this.#fallback);
      return { entry, repository: registry === undefined ? repository : `${registry}/${repository}`, tag };
    });
  }

  /** A manifest without a tag is listed too, unless another one that is pushed later has it inside. */
  put(repository: string, manifest: NewManifest, tags: readonly string[]): void {
    const { digest, mediaType, bytes, keeps } = manifest;
    this.#putFile(digest, bytes);
    const entry = { mediaType, digest, size: bytes.byteLength };
    const inside = new Set<Digest>(tags.length > 0 ? [...keeps, digest] : keeps);
    const kept = this.entries().filter((other) => {
      if (other.repository !== repository) return true;
      return other.tag === undefined ? !inside.has(other.entry.digest) : !tags.includes(other.tag);
    });
    const isListed = kept.some((other) => other.repository === repository && other.entry.digest === digest);
    const names =
      tags.length > 0 || isListed ? tags.map((tag) => this.#nameOf(repository, tag)) : [`${repository}@${digest}`];
    this.#write([
      ...kept.map((other) => other.entry),
      ...names.map((name) => ({ ...entry, annotations: { [nameAnnotation]: name } })),
    ]);
  }

  removeTag(repository: string, tag: string): void {
    this.#keep((other) => other.repository !== repository || other.tag !== tag);
  }

  removeManifests(repository: string, digests: readonly Digest[]): void {
    this.#keep((other) => other.repository !== repository || !digests.includes(other.entry.digest));
  }

  #keep(isKept: (entry: NamedEntry) => boolean): void {
    const before = this.entries();
    const kept = before.filter(isKept);
    if (kept.length < before.length) this.#write(kept.map(({ entry }) => entry));
  }

  #nameOf(repository: string, tag: string): string {
    return repository === this.#fallback ? tag : `${repository}:${tag}`;
  }

  #putFile(digest: Digest, bytes: Uint8Array): void {
    const path = this.#blobs.path(digest);
    if (existsSync(path)) return;
    makeFolders(dirname(path));
    this.#replaceDurably(path, bytes);
  }

  #write(entries: readonly Entry[]): void {
    const document = { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests: entries };
    this.#replace(indexName, JSON.stringify(document));
  }

  #replace(name: string, text: string): void {
    this.#replaceDurably(join(this.#folder, name), text);
  }

  /** By way of one file, which a kill may leave behind and the next change takes. */
  #replaceDurably(path: string, content: Uint8Array | string): void {
    const unfinished = join(this.#folder, 'unfinished');
    writeFileSync(unfinished, content, { flush: true });
    renameSync(unfinished, path);
    syncFolder(dirname(path));
  }
}

/** Where the images of a layout are that only have a tag. */
export function repositoryOfFolder(folder: string): string {
  const name = basename(resolve(folder)).toLowerCase();
  return isRepositoryName(name) ? name : 'image';
}

function syncFolder(path: string): void {
  const folder = openSync(path, 'r');
  try {
    fsyncSync(folder);
  } finally {
    closeSync(folder);
  }
}
