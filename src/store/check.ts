import { lstatSync } from 'node:fs';
import { crashPoint } from '../lib/crash-point.ts';
import { errorMessage } from '../lib/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, digestHex } from '../oci/digest.ts';
import { dropLayerBlobs } from './compressed-layers.ts';
import { collectGarbage, emptyTrash, unusedTrash } from './garbage.ts';
import type { ImageRecord } from './images.ts';
import { type Step, Steps } from './steps.ts';
import type { StoreParts } from './store-parts.ts';
import type { NotDeleted } from './trash.ts';

/** Something that is not as the store promises. */
export interface Finding {
  readonly step: 'database' | 'blobs' | 'layers' | 'fix-ups' | 'images' | 'names';
  /** Digest, diffID, chainID, image id or name. */
  readonly subject: string;
  /** One sentence. */
  readonly problem: string;
  /** What became of it; `found` unless repair was asked for. */
  readonly state: 'found' | 'repaired' | 'not-repaired';
  /** Why it was not repaired. */
  readonly reason?: string;
}

export interface CheckReport {
  readonly findings: readonly Finding[];
  /** What no name and no lease reaches, or was left unfinished too long ago: harmless; the next collection takes it. */
  readonly leftovers: readonly string[];
  /** What repair has tried to delete and still takes room. */
  readonly notDeleted: readonly NotDeleted[];
  readonly steps: readonly Step[];
}

/** What repair needs from outside: the store neither talks to registries nor unpacks. */
export interface RepairHooks {
  /** Gets a blob again; resolves when it is in the store. `names` are those of the images that need it. */
  fetchBlob(blob: Descriptor, names: readonly string[]): Promise<void>;
  /** Unpacks a layer again from its blob, which is stored; resolves when it is published in place of the one before. */
  unpackLayer(diffId: Digest, blob: Descriptor): Promise<void>;
}

export interface CheckOptions {
  /** `quick`: existence, sizes, facts. `full`, the default: every byte of every blob and every entry of every layer. */
  readonly depth?: 'quick' | 'full';
  /** Compares a layer or a fix-up layer with the record of its entries: one sentence per deviation. */
  readonly verifyLayer?: (
    layer: { dir: string; entriesFile: string },
    options: { signal?: AbortSignal | undefined },
  ) => Promise<readonly string[]>;
  readonly repair?: RepairHooks;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Other processes may pull, remove and collect meanwhile. They write files first and rows second, and remove them the
 * other way round: only what is wrong while its row is still there is a finding.
 * @see layers.md 18
 */
export async function checkStore(store: StoreParts, options: CheckOptions = {}): Promise<CheckReport> {
  const check = new Check(store, options);
  const steps = new Steps();
  await steps.run('database', () => check.database());
  await steps.run('blobs', () => check.blobs());
  await steps.run('layers', () => check.layers());
  await steps.run('fix-ups', () => check.fixUps());
  await steps.run('images', () => check.images());
  await steps.run('names', () => check.names());
  await steps.run('leftovers', () => check.findLeftovers());
  const { findings, leftovers, notDeleted } = check;
  return { findings, leftovers, notDeleted, steps: steps.list };
}

class Check {
  readonly findings: Finding[] = [];
  leftovers: readonly string[] = [];
  notDeleted: readonly NotDeleted[] = [];
  readonly #store: StoreParts;
  readonly #options: CheckOptions;
  readonly #blobUsers: Map<Digest, BlobUse>;

  constructor(store: StoreParts, options: CheckOptions) {
    this.#store = store;
    this.#options = options;
    this.#blobUsers = blobUses(store);
  }

  database(): number {
    const faults = this.#store.database.faults();
    for (const problem of faults)
      this.findings.push({ step: 'database', subject: 'lading.db', problem, state: 'found' });
    return 1;
  }

  /** Blobs that images need: there, of their size; then every stored blob: of its digest. */
  async blobs(): Promise<number> {
    const { blobs } = this.#store;
    const suspects: { digest: Digest; problem: string }[] = [];
    for (const [digest, { descriptor }] of this.#blobUsers) {
      const size = await blobs.size(digest);
      if (size === undefined) suspects.push({ digest, problem: 'is missing' });
      else if (size !== descriptor.size) {
        suspects.push({ digest, problem: `has ${size} bytes instead of ${descriptor.size}` });
      }
    }
    let uses: Map<Digest, BlobUse> | undefined;
    const isUsed = ({ digest }: { digest: Digest }) => {
      uses ??= blobUses(this.#store);
      return uses.has(digest);
    };
    for (const { digest, problem } of this.#confirmed(suspects, isUsed)) await this.#blob(digest, problem);
    let count = 0;
    for await (const { digest } of blobs.list()) {
      this.#options.signal?.throwIfAborted();
      count += 1;
      if (this.#options.depth === 'quick' || this.findings.some(({ subject }) => subject === digest)) continue;
      const problem = await blobs.damage(digest, { signal: this.#options.signal });
      if (problem && (await blobs.size(digest)) !== undefined) await this.#blob(digest, problem);
    }
    return count;
  }

  async layers(): Promise<number> {
    const { layers } = this.#store;
    const known = layers.list();
    const suspects: { diffId: Digest; problem: string }[] = [];
    for (const { diffId } of known) {
      this.#options.signal?.throwIfAborted();
      const problem = await this.#layerProblem(diffId);
      if (problem) suspects.push({ diffId, problem });
    }
    for (const { diffId, problem } of this.#confirmed(suspects, ({ diffId }) => layers.isKnown(diffId))) {
      await this.#layer(diffId, problem);
    }
    return known.length;
  }

  /** Fix-up layers are there and as they were made; any other is worked out again when it is needed. */
  async fixUps(): Promise<number> {
    const { fixUps } = this.#store;
    const needed = fixUps.list();
    const suspects: { chainId: Digest; problem: string }[] = [];
    for (const chainId of needed) {
      this.#options.signal?.throwIfAborted();
      const problem = await this.#fixUpProblem(chainId);
      if (problem) suspects.push({ chainId, problem });
    }
    for (const { chainId, problem } of this.#confirmed(suspects, ({ chainId }) => fixUps.isKnown(chainId))) {
      await this.#fixUp(chainId, problem);
    }
    return needed.length;
  }

  async images(): Promise<number> {
    const { unpacks, layers } = this.#store;
    const images = this.#store.images.list();
    if (!unpacks) return images.length;
    const suspects = images.flatMap(({ id, layers: all }) =>
      all.filter(({ diffId }) => !layers.has(diffId)).map(({ diffId }) => ({ id, diffId })),
    );
    for (const { id, diffId } of this.#confirmed(suspects, ({ id }) => this.#store.images.get(id) !== undefined)) {
      if (layers.has(diffId) || this.findings.some(({ subject }) => subject === diffId)) continue;
      await this.#layer(diffId, `is not unpacked, and image ${id} needs it`);
    }
    return images.length;
  }

  names(): number {
    const { names, images } = this.#store;
    const records = names.list();
    const suspects = records.filter(({ imageId }) => !images.get(imageId));
    for (const { name, imageId } of this.#confirmed(
      suspects,
      ({ name, imageId }) => names.get(name)?.imageId === imageId,
    )) {
      if (images.get(imageId)) continue;
      const finding: Finding = {
        step: 'names',
        subject: name,
        problem: `names image ${imageId}, which is not on this node`,
        state: 'found',
      };
      if (this.#options.repair) names.remove(name);
      this.findings.push(this.#options.repair ? { ...finding, state: 'repaired' } : finding);
    }
    return records.length;
  }

  /** Those whose rows are there still. */
  #confirmed<T>(suspects: readonly T[], isThere: (suspect: T) => boolean): T[] {
    if (suspects.length === 0) return [];
    this.#store.database.refresh();
    return suspects.filter(isThere);
  }

  async findLeftovers(): Promise<number> {
    const { images, layers, fixUps, blobs, ingests } = await collectGarbage(this.#store, { dryRun: true });
    if (this.#options.repair) this.notDeleted = (await emptyTrash(this.#store)).notDeleted;
    const trash = this.#options.repair ? [] : unusedTrash(this.#store).map((name) => `trash/${name}`);
    this.leftovers = [...images, ...layers, ...fixUps, ...blobs, ...ingests, ...trash];
    return this.leftovers.length;
  }

  async #blob(digest: Digest, problem: string): Promise<void> {
    const { blobs, trash } = this.#store;
    const use = this.#blobUsers.get(digest);
    await this.#settle({ step: 'blobs', subject: digest, problem }, async (hooks) => {
      trash.take(blobs.path(digest));
      crashPoint('repair-blob');
      if (use) await hooks.fetchBlob(use.descriptor, use.names);
    });
  }

  async #layerProblem(diffId: Digest): Promise<string | undefined> {
    const { layers } = this.#store;
    try {
      await layers.facts(diffId);
      const deviations = await this.#deviations({ dir: layers.dir(diffId), entriesFile: layers.entriesFile(diffId) });
      return deviations.length === 0 ? undefined : `differs from what was unpacked: ${summary(deviations)}`;
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      return errorMessage(error);
    }
  }

  async #fixUpProblem(chainId: Digest): Promise<string | undefined> {
    const { fixUps } = this.#store;
    if (fixUps.state(chainId) !== 'needed') return 'has lost its fix-up layer';
    const entriesFile = fixUps.entriesFile(chainId);
    if (!lstatSync(entriesFile, { throwIfNoEntry: false })) return undefined;
    try {
      const deviations = await this.#deviations({ dir: fixUps.dir(chainId), entriesFile });
      return deviations.length === 0 ? undefined : `has another fix-up layer than was made: ${summary(deviations)}`;
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      return errorMessage(error);
    }
  }

  async #deviations(layer: { dir: string; entriesFile: string }): Promise<readonly string[]> {
    const { depth, verifyLayer, signal } = this.#options;
    return depth === 'quick' || !verifyLayer ? [] : verifyLayer(layer, { signal });
  }

  async #layer(diffId: Digest, problem: string): Promise<void> {
    const { layers, database, trash } = this.#store;
    await this.#settle({ step: 'layers', subject: diffId, problem }, async (hooks) => {
      const blob = await this.#blobOfLayer(diffId, hooks);
      crashPoint('repair-layer');
      if (blob) {
        await hooks.unpackLayer(diffId, blob);
        await dropLayerBlobs(this.#store, [{ descriptor: blob, diffId }]);
        return;
      }
      database.transaction(() => {
        database.run('DELETE FROM layers WHERE diff_id = ?', diffId);
        trash.take(layers.folder(diffId), { name: digestHex(diffId) });
      });
    });
  }

  async #fixUp(chainId: Digest, problem: string): Promise<void> {
    const { fixUps, database, trash } = this.#store;
    await this.#settle({ step: 'fix-ups', subject: chainId, problem }, async () => {
      database.transaction(() => {
        database.run('DELETE FROM fix_ups WHERE chain_id = ?', chainId);
        trash.take(fixUps.folder(chainId), { name: digestHex(chainId) });
      });
    });
  }

  /** A stored blob that unpacks to the layer, fetched if there is none; undefined if no image needs the layer. */
  async #blobOfLayer(diffId: Digest, hooks: RepairHooks): Promise<Descriptor | undefined> {
    const users = this.#store.images
      .list()
      .flatMap((image) =>
        image.layers.filter((layer) => layer.diffId === diffId).map(({ descriptor }) => ({ descriptor, image })),
      );
    for (const { descriptor } of users) {
      if ((await this.#store.blobs.size(descriptor.digest)) === descriptor.size) return descriptor;
    }
    const [user] = users;
    if (user) await hooks.fetchBlob(user.descriptor, namesOf(this.#store, user.image));
    return user?.descriptor;
  }

  async #settle(
    finding: Omit<Finding, 'state' | 'reason'>,
    repair: (hooks: RepairHooks) => Promise<void>,
  ): Promise<void> {
    if (!this.#options.repair) {
      this.findings.push({ ...finding, state: 'found' });
      return;
    }
    try {
      await repair(this.#options.repair);
      this.findings.push({ ...finding, state: 'repaired' });
    } catch (error) {
      this.#options.signal?.throwIfAborted();
      this.findings.push({ ...finding, state: 'not-repaired', reason: errorMessage(error) });
    }
  }
}

interface BlobUse {
  readonly descriptor: Descriptor;
  readonly names: string[];
}

function namesOf({ names }: StoreParts, image: ImageRecord): string[] {
  return names
    .list()
    .filter(({ imageId }) => imageId === image.id)
    .map(({ name }) => name);
}

function blobUses(store: StoreParts): Map<Digest, BlobUse> {
  const uses = new Map<Digest, BlobUse>();
  const use = (descriptor: Descriptor, by: readonly string[]) => {
    const before = uses.get(descriptor.digest);
    uses.set(descriptor.digest, { descriptor, names: [...new Set([...(before?.names ?? []), ...by])] });
  };
  for (const image of store.images.list()) {
    const by = namesOf(store, image);
    for (const descriptor of descriptorsOf(image)) use(descriptor, by);
  }
  for (const { target, name } of store.names.list()) use(target, [name]);
  return uses;
}

function descriptorsOf(image: ImageRecord): Descriptor[] {
  const layers = image.layers.filter(({ blobNotStored }) => !blobNotStored);
  return [image.manifest, image.config, ...layers.map(({ descriptor }) => descriptor)];
}

const shownDeviations = 3;

function summary(deviations: readonly string[]): string {
  const shown = deviations.slice(0, shownDeviations).join('; ');
  const rest = deviations.length - shownDeviations;
  return rest > 0 ? `${shown}; and ${rest} more` : shown;
}
