/** Whether the kubelet's collection of unused images would take an image of this node. */
import { statfs } from 'node:fs/promises';
import type { CollectionResult } from '../../agent/index.ts';
import { type ImageGcPolicy, type ImageUse, imageGcIsOff, keptAlways, removalOrder } from '../../policy/index.ts';
import { humanAgo } from '../human.ts';
import { imageCollectorOf } from '../image-collection.ts';
import type { Node } from '../node.ts';

export interface GcRisk {
  /** `next-collection`: it goes when images are collected the next time; `when-full`: when the disk fills up. */
  readonly risk: 'none' | 'when-full' | 'next-collection';
  /** Why, in a sentence. */
  readonly reason: string;
}

/** Looks once at all images of the node, when it is asked for the first of them. */
export class GcRisks {
  readonly #node: Pick<Node, 'images' | 'store'>;
  readonly #policy: ImageGcPolicy;
  #looked: Promise<{ uses: readonly ImageUse[]; result: CollectionResult }> | undefined;

  constructor(node: Pick<Node, 'images' | 'store'>, policy: ImageGcPolicy) {
    this.#node = node;
    this.#policy = policy;
  }

  async of(imageId: string): Promise<GcRisk | undefined> {
    if (imageGcIsOff(this.#policy)) return { risk: 'none', reason: 'This node collects no images.' };
    this.#looked ??= this.#look();
    const { uses, result } = await this.#looked;
    const use = uses.find(({ id }) => id === imageId);
    if (!use) return undefined;
    const kept = keptAlways(use);
    if (kept) return { risk: 'none', reason: kept.text };
    const verdict = result.images.find(({ id }) => id === imageId);
    if (verdict?.outcome === 'removed') return { risk: 'next-collection', reason: verdict.reason.text };
    return { risk: 'when-full', reason: this.#whenFull(use, uses, result) };
  }

  #whenFull({ id, lastUsedMs }: ImageUse, uses: readonly ImageUse[], { usagePercent }: CollectionResult): string {
    const order = removalOrder(uses).map((use) => use.id);
    const place = order.length === 1 ? 'the only one' : `number ${order.indexOf(id) + 1} of ${order.length}`;
    const used = lastUsedMs === undefined ? 'no container has had it' : `last used ${humanAgo(lastUsedMs, Date.now())}`;
    const now = usagePercent === undefined ? '' : ` (now ${usagePercent}%)`;
    return `It is ${place} to go when the disk is used to ${this.#policy.highThresholdPercent}%${now}: ${used}.`;
  }

  async #look() {
    const { root } = this.#node.store;
    const collector = imageCollectorOf(this.#node, {
      policy: this.#policy,
      remove: () => {},
      // Without counting the node's own files, which takes a while.
      diskStats: async () => {
        const { blocks, bavail, bsize } = await statfs(root);
        return { capacityBytes: blocks * bsize, availableBytes: bavail * bsize };
      },
    });
    return { uses: await collector.detect(), result: await collector.collect() };
  }
}
