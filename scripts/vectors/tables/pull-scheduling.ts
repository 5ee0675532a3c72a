import { AsyncLocalStorage } from 'node:async_hooks';
import { EventRecorder, ImageManager, type KubeEvent } from '../../../src/agent/index.ts';
import { CriError } from '../../../src/cri/index.ts';
import { VirtualClock } from '../../../test/support/virtual-clock.ts';
import { podNamed, unusedImageCalls } from '../agent-parts.ts';
import type { Check, VectorCase } from '../vector-table.ts';

/** Long enough for every pull of a case. */
const caseMs = 24 * 60 * 60 * 1000;

interface Times {
  pullStartMs?: number;
  pullEndMs?: number;
}

export const check: Check = async ({ config, localImages, requests, expect }) => {
  const clock = new VirtualClock(0);
  const current = new AsyncLocalStorage<{ request: VectorCase['request']; times: Times }>();
  const present = new Set<string>(localImages);
  const images = {
    ...unusedImageCalls,
    async imageStatus({ image }: { image: string }) {
      const { request, times } = current.getStore()!;
      if (times.pullEndMs !== undefined && request.sizeDurationMs > 0) await clock.sleep(request.sizeDurationMs);
      if (!present.has(image)) return undefined;
      return { id: image, size: 0, repoTags: [], repoDigests: [], username: '', pinned: false };
    },
    async pullImage({ image: { image } }: { image: { image: string } }) {
      const { request, times } = current.getStore()!;
      times.pullStartMs = clock.now();
      if (request.pullDurationMs > 0) await clock.sleep(request.pullDurationMs);
      times.pullEndMs = clock.now();
      if (request.pullError) throw new CriError('UNKNOWN', request.pullError);
      present.add(image);
      return { imageRef: image };
    },
  };
  const events: KubeEvent[] = [];
  const recorder = new EventRecorder(
    () => clock.now(),
    (event) => events.push(event),
  );
  const parallel = config.maxParallelPulls ?? 0;
  const manager = new ImageManager(
    { images, clock, events: recorder },
    {
      maxParallelPulls: config.mode === 'serial' ? 1 : parallel,
      pullsPerSecond: config.qps,
      pullBurst: config.burst,
    },
  );

  const results = new Map<string, unknown>();
  for (const request of requests) {
    const times: Times = {};
    const pod = podNamed({ name: request.podUid, namespace: 'default', uid: request.podUid });
    const ask = async () => {
      const { image, policy } = request;
      const { error } = await manager.ensureImageExists(pod, { image, policy, fieldPath: request.id });
      const returnMs = clock.now();
      const pulled = events.find(
        ({ object, message }) => object.fieldPath === request.id && message.startsWith('Successfully'),
      );
      results.set(request.id, { id: request.id, ...times, returnMs, error, pulledEvent: pulled?.message });
    };
    clock.schedule(request.atMs, () => void current.run({ request, times }, ask));
  }
  await clock.advance(caseMs);
  return { actual: expect.map(({ id }: { id: string }) => results.get(id)), expected: expect };
};
