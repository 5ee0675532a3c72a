import { statSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { debugLog } from '../lib/debug.ts';
import { errorCode, errorMessage, LadingError } from '../lib/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import { type ImageIndex, parseManifest } from '../oci/manifest.ts';
import { mediaTypes } from '../oci/media-types.ts';
import { BlobStore } from '../store/index.ts';
import { Refusal } from './errors.ts';
import { type LayoutGraph, walkLayout } from './layout-graph.ts';
import { repositoryOfFolder } from './layout-index.ts';
import { type LayoutName, layoutName } from './layout-names.ts';
import { maxManifestBytes } from './manifest-facts.ts';
import type { Page, ReferrerEntry, ReferrerFilter, Storage, StoredBlob, StoredManifest } from './storage.ts';

const debug = debugLog('distribution');

export interface LayoutOptions {
  /** Repository of all images, instead of what each of them is called. */
  readonly repository?: string | undefined;
  /** What to do about a folder in which there is no layout: fail unless given, or wait until there is one. */
  readonly whenMissing?: 'fail' | 'wait' | undefined;
}

/** What a layout holds at one moment. */
interface Snapshot {
  /** By the name of a repository, then by tag: what it means; more than one digest where registries disagree. */
  readonly tags: ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<Digest>>>;
  readonly repositories: readonly string[];
  readonly graph: LayoutGraph;
  readonly referrers: ReadonlyMap<Digest, readonly LayoutReferrer[]>;
}

interface LayoutReferrer extends ReferrerEntry {
  readonly artifactType: string | undefined;
}

const nothing: Snapshot = { tags: new Map(), repositories: [], graph: new Map(), referrers: new Map() };

/**
 * An OCI image layout, read only; a Lading node's store is one too. Images are in repositories after their names, and
 * may be added and removed by others at any time. A name that says its registry is served with the registry in front
 * and without. Whatever is there by digest can be asked for in every repository.
 * @see https://github.com/opencontainers/image-spec/blob/main/image-layout.md
 */
export class LayoutStorage implements Storage {
  readonly #folder: string;
  readonly #options: LayoutOptions;
  readonly #blobs: BlobStore;
  #snapshot: Promise<Snapshot> = Promise.resolve(nothing);
  #readStamp: string | undefined;

  private constructor(folder: string, options: LayoutOptions) {
    this.#folder = folder;
    this.#options = options;
    this.#blobs = new BlobStore(folder);
  }

  /** @throws LadingError `ERR_LADING_DISTRIBUTION_LAYOUT` if the folder is no OCI layout */
  static async open(folder: string, options: LayoutOptions = {}): Promise<LayoutStorage> {
    const storage = new LayoutStorage(folder, options);
    try {
      await storage.#entries();
      return storage;
    } catch (error) {
      const problem = errorCode(error) === 'ENOENT' ? 'it has no index.json' : errorMessage(error);
      throw new LadingError('ERR_LADING_DISTRIBUTION_LAYOUT', `${folder} is no OCI image layout: ${problem}`, {
        hint: 'Write one with `skopeo copy docker://IMAGE oci:FOLDER:TAG`, for example.',
        cause: error,
        data: { folder },
      });
    }
  }

  async repositories({ last, limit }: Page): Promise<string[]> {
    const { repositories } = await this.#current();
    return repositories.filter((name) => name > last).slice(0, limit);
  }

  async tags(repository: string, { last, limit }: Page): Promise<string[] | undefined> {
    const tags = (await this.#current()).tags.get(repository);
    return tags && [...tags.keys()].filter((tag) => tag > last).slice(0, limit);
  }

  /** @throws Refusal `MANIFEST_UNKNOWN` if the name means different images in different registries */
  async manifestByTag(repository: string, tag: string): Promise<StoredManifest | undefined> {
    const { tags, graph } = await this.#current();
    const [digest, other] = tags.get(repository)?.get(tag) ?? [];
    if (other !== undefined) {
      const message = `${repository}:${tag} is not the same in all registries that it came from: say the registry too`;
      throw new Refusal(404, { code: 'MANIFEST_UNKNOWN', message });
    }
    return digest && graph.get(digest);
  }

  async manifestByDigest(repository: string, digest: Digest): Promise<StoredManifest | undefined> {
    const { tags, graph } = await this.#current();
    return tags.has(repository) ? graph.get(digest) : undefined;
  }

  manifestBytes(_repository: string, digest: Digest): Promise<Uint8Array> {
    return this.#blobs.read(digest, { maxBytes: maxManifestBytes });
  }

  async blob(repository: string, digest: Digest): Promise<StoredBlob | undefined> {
    const { tags } = await this.#current();
    const size = tags.has(repository) ? await this.#blobs.size(digest) : undefined;
    return size === undefined ? undefined : { size, open: () => open(this.#blobs.path(digest)) };
  }

  async referrers(repository: string, subject: Digest, filter: ReferrerFilter): Promise<ReferrerEntry[]> {
    const { tags, referrers } = await this.#current();
    const { last, artifactType } = filter;
    return (tags.has(repository) ? (referrers.get(subject) ?? []) : []).filter(
      (entry) => entry.digest > last && (artifactType === undefined || entry.artifactType === artifactType),
    );
  }

  repositoryOf(registry: string, repository: string): string {
    return `${registry}/${repository}`;
  }

  close(): void {}

  /** What `index.json` says now. One that cannot be read, or not yet, changes nothing. */
  #current(): Promise<Snapshot> {
    const stamp = this.#stamp();
    if (stamp === this.#readStamp) return this.#snapshot;
    const before = this.#snapshot;
    this.#readStamp = stamp;
    this.#snapshot = this.#read(before).catch(async (error: unknown) => {
      debug('%s: %s', this.#folder, error);
      return before;
    });
    return this.#snapshot;
  }

  #stamp(): string {
    const found = statSync(join(this.#folder, 'index.json'), { bigint: true, throwIfNoEntry: false });
    return found ? `${found.ino} ${found.mtimeNs} ${found.size}` : '';
  }

  async #read(before: Promise<Snapshot>): Promise<Snapshot> {
    const entries = await this.#entries();
    const graph = await walkLayout(this.#blobs, entries, (await before).graph);
    const tags = new Map<string, Map<string, Set<Digest>>>();
    const add = (repository: string, tag: string | undefined, digest: Digest) => {
      const ofRepository = getOrAdd(tags, repository, () => new Map<string, Set<Digest>>());
      if (tag !== undefined) getOrAdd(ofRepository, tag, () => new Set<Digest>()).add(digest);
    };
    const short = new Set<string>();
    for (const entry of entries) {
      const { registry, repository, tag } = this.#name(entry);
      short.add(repository);
      add(repository, tag, entry.digest);
      if (registry !== undefined) add(`${registry}/${repository}`, tag, entry.digest);
    }
    for (const [name, ofRepository] of tags) tags.set(name, new Map([...ofRepository].sort(byKey)));
    return { tags, repositories: [...short].sort(), graph, referrers: referrersIn(graph) };
  }

  async #entries(): Promise<readonly Descriptor[]> {
    try {
      const bytes = await readFile(join(this.#folder, 'index.json'));
      return (parseManifest(bytes, mediaTypes.ociIndex) as ImageIndex).manifests;
    } catch (error) {
      if (errorCode(error) === 'ENOENT' && this.#options.whenMissing === 'wait') return [];
      throw error;
    }
  }

  #name(entry: Descriptor): LayoutName {
    const { repository } = this.#options;
    if (repository === undefined) return layoutName(entry, repositoryOfFolder(this.#folder));
    const { tag } = layoutName(entry, repository);
    return { repository, ...(tag !== undefined && { tag }) };
  }
}

function referrersIn(graph: LayoutGraph): Snapshot['referrers'] {
  const referrers = new Map<Digest, LayoutReferrer[]>();
  const nodes = [...graph.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1));
  for (const { digest, referrer } of nodes) {
    if (!referrer) continue;
    const { subject, artifactType, descriptor } = referrer;
    getOrAdd(referrers, subject, () => []).push({ digest, artifactType, descriptor });
  }
  return referrers;
}

function getOrAdd<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}

function byKey([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1;
}
