import { type Collected, type EventText, ImageCollector } from '../../../src/agent/index.ts';
import type { Container, ContainerStatus } from '../../../src/cri/index.ts';
import { type Check, type Outcome, unknownKind, type VectorCase } from '../vector-table.ts';

export const check: Check = async ({ policy, removeErrors, steps }) => {
  const node = new ScriptedNode(removeErrors);
  let nowMs = 0;
  let stats = { capacityBytes: 0, availableBytes: 0 };
  const collections: Collected[] = [];
  const events: EventText[] = [];
  const collector = new ImageCollector({
    images: node,
    runtime: node,
    clock: { now: () => nowMs, sleep: async () => {} },
    policy,
    diskStats: async () => stats,
    onEvent: (event) => events.push(event),
    onCollected: (collected) => {
      collections.push(collected);
    },
  });

  const outcomes: Outcome[] = [];
  for (const step of steps) {
    nowMs = step.atMs ?? nowMs;
    collections.length = 0;
    events.length = 0;
    if (step.op === 'setImages') node.images = step.images;
    else if (step.op === 'setContainers') node.containers = step.containers;
    else {
      stats = { capacityBytes: step.capacityBytes, availableBytes: step.availableBytes };
      const actual = await runStep(collector, step);
      const hookSurvivors = collections[0]?.survivors;
      const imagesLeft = inOrderOf(
        step.expect.imagesLeft,
        node.images.map(({ id }) => id),
      );
      outcomes.push({
        expected: step.expect,
        actual: { ...actual, imagesLeft, events: [...events], hookSurvivors },
      });
    }
  }
  return outcomes;
};

async function runStep(collector: ImageCollector, step: VectorCase['step']): Promise<object> {
  if (step.op === 'detect') {
    const records = (await collector.detect()).map(({ id, firstDetectedMs, lastUsedMs = null }) => ({
      id,
      firstDetectedMs,
      lastUsedMs,
    }));
    return { records: inOrderOf(step.expect.records, records, ({ id }) => id) };
  }
  const run = {
    freeSpace: () => collector.freeSpace(BigInt(step.bytesToFree)),
    deleteUnused: () => collector.deleteUnused(),
    collect: () => collector.collect(),
  }[step.op as string];
  const { removed, freedBytes, survivors, error } = run ? await run() : unknownKind(step.op);
  return { removedInOrder: removed, freedBytes: Number(freedBytes), reportedSurvivors: survivors, error };
}

/** The tables list without meaning an order. */
function inOrderOf<T>(expected: readonly T[] | undefined, actual: readonly T[], key = (item: T): unknown => item): T[] {
  const place = (item: T) => expected?.findIndex((other) => key(other) === key(item)) ?? 0;
  return actual.toSorted((a, b) => place(a) - place(b));
}

/** The images and containers of the table; removals change them. */
class ScriptedNode {
  images: readonly VectorCase['image'][] = [];
  containers: readonly VectorCase['container'][] = [];
  readonly #removeErrors: Readonly<Record<string, string>>;

  constructor(removeErrors: Readonly<Record<string, string>>) {
    this.#removeErrors = removeErrors;
  }

  async listImages() {
    return this.images.map(({ id, sizeBytes, pinned = false }) => ({
      ...{ id, size: sizeBytes, pinned },
      ...{ repoTags: [], repoDigests: [], username: '' },
    }));
  }

  async removeImage({ image }: { image: string }) {
    const error = this.#removeErrors[image];
    if (error) throw new Error(error);
    // An id that is listed twice takes two removals.
    const index = this.images.findIndex(({ id }) => id === image);
    this.images = this.images.toSpliced(index, 1);
  }

  async imageFsInfo() {
    return { imageFilesystems: [] };
  }

  async listContainers() {
    return this.containers.map(({ imageId }, index) => ({ id: String(index), imageId, imageRef: '' }) as Container);
  }

  async containerStatus(id: string) {
    const mounted: readonly string[] = this.containers[Number(id)].mountedImageIds ?? [];
    return { mounts: mounted.map((image) => ({ image: { image } })) } as unknown as ContainerStatus;
  }
}
