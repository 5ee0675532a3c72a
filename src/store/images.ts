import { crashPoint } from '../lib/crash-point.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Platform } from '../oci/platform.ts';
import type { Database } from './database.ts';
import type { Names } from './names.ts';

/** An image that is complete on this node: its documents are stored, its layers unpacked. */
export interface ImageRecord {
  /** Digest of the configuration. */
  readonly id: Digest;
  /** The image manifest, never an index. */
  readonly manifest: Descriptor;
  readonly config: Descriptor;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
  /** Bytes of manifest, configuration and layers as the registry has them (compressed). */
  readonly size: number;
  /** What the configuration says it runs on. */
  readonly platform?: Platform;
  /** ISO 8601; when it became complete here. */
  readonly createdAt: string;
}

export interface ImageLayer {
  readonly descriptor: Descriptor;
  readonly diffId: Digest;
  /** The blob is not kept, or was never fetched: the layer had been unpacked from another blob with the same content. */
  readonly blobNotStored?: true;
}

/** A name that an image gets, and what it points to. */
export interface ImageName {
  readonly name: string;
  readonly target: Descriptor;
}

/** The images of this node by their ids, the digests of their configurations. */
export class Images {
  readonly #database: Database;
  readonly #names: Names;
  readonly #now: () => number;

  constructor(database: Database, options: { names: Names; now: () => number }) {
    this.#database = database;
    this.#names = options.names;
    this.#now = options.now;
  }

  get(id: Digest): ImageRecord | undefined {
    const row = this.#database.get<Row>('SELECT * FROM images WHERE id = ?', id);
    return row && this.#recordOf(row);
  }

  /** Oldest first. */
  list(): ImageRecord[] {
    return this.#database.all<Row>('SELECT * FROM images ORDER BY created_ms, id').map((row) => this.#recordOf(row));
  }

  /** The same image again (from another manifest, say) keeps its `createdAt`. */
  put(image: Omit<ImageRecord, 'createdAt'>): void {
    const sql = 'INSERT INTO images VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET record = excluded.record';
    this.#database.transaction(() => this.#database.run(sql, image.id, JSON.stringify(image), this.#now()));
  }

  /**
   * Makes the image visible together with names for it: both or none.
   * @param by who wants it, for the history of the names
   */
  publish(image: Omit<ImageRecord, 'createdAt'>, names: readonly ImageName[], by?: string): void {
    this.#database.transaction(() => {
      this.put(image);
      for (const { name, target } of names) this.#names.set(name, { target, imageId: image.id, by });
    });
  }

  /**
   * The registry was asked, and these names mean an image that is complete here.
   * @returns false if it is not here any more; nothing has changed then
   */
  confirm(id: Digest, names: readonly ImageName[], by?: string): boolean {
    const isNews = names.some(({ name, target }) => {
      const record = this.#names.get(name);
      return record?.target.digest !== target.digest || record.imageId !== id;
    });
    const decide = () => {
      if (!this.get(id)) return false;
      for (const { name, target } of names) this.#names.set(name, { target, imageId: id, by });
      return true;
    };
    return isNews ? this.#database.transaction(decide) : this.#database.unsyncedTransaction(decide);
  }

  /** Lets the next collection take these blobs, however young, unless something reaches them. */
  release(digests: readonly Digest[]): void {
    this.#database.removal(() => {
      for (const digest of digests) this.#database.run('INSERT OR IGNORE INTO released VALUES (?)', digest);
    });
  }

  /**
   * Forgets the image and every name that means it. What only it needed is collected by the next collection, unless it
   * is leased.
   */
  remove(id: Digest): boolean {
    const isRemoved = this.#database.removal(() => {
      const image = this.get(id);
      if (!image) return false;
      this.release(digestsOf(image));
      this.#names.removeAllOf(id);
      this.#database.run('DELETE FROM images WHERE id = ?', id);
      return true;
    });
    crashPoint('image-removed');
    return isRemoved;
  }

  #recordOf({ record, created_ms }: Row): ImageRecord {
    const image = this.#database.document<Omit<ImageRecord, 'createdAt'>>(record);
    return { ...image, createdAt: new Date(created_ms).toISOString() };
  }
}

/** The blobs of an image. */
export function digestsOf(image: ImageRecord): Digest[] {
  return [image.manifest.digest, image.config.digest, ...image.layers.map(({ descriptor }) => descriptor.digest)];
}

interface Row {
  readonly id: string;
  readonly record: string;
  readonly created_ms: number;
}
