import { beforeEach, expect, test } from 'vitest';
import { type Collected, ImageCollector } from '../../src/agent/index.ts';
import { defaultImageGcPolicy } from '../../src/policy/index.ts';
import { FakeCri } from '../support/fake-cri.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

// The rules are in the vector tables image-gc, image-gc-policy and size-format, which run against the same class.

const mebibyte = 1024 ** 2;

let clock: VirtualClock;
let cri: FakeCri;

beforeEach(() => {
  clock = new VirtualClock();
  cri = new FakeCri(clock);
});

test('records of pulls can be kept for all images that are left, not only for those the kubelet names', async () => {
  const collected: Collected[] = [];
  const collector = new ImageCollector({
    images: cri,
    runtime: cri,
    clock,
    policy: { ...defaultImageGcPolicy, minAgeMs: 0 },
    diskStats: async () => ({ capacityBytes: 100 * mebibyte, availableBytes: 15 * mebibyte }),
    onCollected: (result) => {
      collected.push(result);
    },
  });
  for (const id of ['a', 'b']) cri.node.set(id, { id, size: 10 * mebibyte });
  const { removed, error } = await collector.collect();
  expect(removed).toEqual(['a']);
  expect(error).toBeUndefined();
  expect(collected).toEqual([expect.objectContaining({ survivors: [], left: ['b'] })]);
});

test('a runtime that names no file system of images is an error, and nothing is removed', async () => {
  cri.node.set('a', { id: 'a', size: 1 });
  const events: string[] = [];
  const collector = new ImageCollector({
    images: cri,
    runtime: cri,
    clock,
    onEvent: ({ reason }) => events.push(reason),
  });
  expect(await collector.collect()).toMatchObject({ removed: [], error: 'invalid capacity 0 on image filesystem' });
  expect(events).toEqual(['InvalidDiskCapacity']);
});

test('thresholds that the kubelet refuses are refused', () => {
  const policy = { ...defaultImageGcPolicy, highThresholdPercent: 101 };
  expect(() => new ImageCollector({ images: cri, runtime: cri, clock, policy })).toThrow(
    expect.objectContaining({ code: 'ERR_LADING_KUBELET_CONFIG' }),
  );
});

test('what the runtime remembers of an image counts: since when it is there, when it was used, who else has it', async () => {
  const ago = (ms: number) => new Date(clock.now() - ms).toISOString();
  const hour = 3_600_000;
  const image = (id: string, annotations: Record<string, string>) => ({
    ...{ id, size: 1, pinned: false, username: '', repoTags: [`r.example/${id}:1`], repoDigests: [] },
    spec: { image: id, annotations },
  });
  const listed = [
    image('never', { 'lading.dev/pulled-at': ago(25 * hour) }),
    image('new', { 'lading.dev/pulled-at': ago(23 * hour) }),
    image('old', { 'lading.dev/pulled-at': ago(48 * hour), 'lading.dev/used-at': ago(25 * hour) }),
    image('lately', { 'lading.dev/pulled-at': ago(48 * hour), 'lading.dev/used-at': ago(hour) }),
    image('elsewhere', { 'lading.dev/pulled-at': ago(48 * hour), 'lading.dev/in-use': 'true' }),
    image('unknown', {}),
  ];
  const removed: string[] = [];
  const collector = new ImageCollector({
    images: {
      listImages: async () => listed.filter(({ id }) => !removed.includes(id)),
      removeImage: async (spec) => void removed.push(spec.image),
      imageFsInfo: () => cri.imageFsInfo(),
    },
    runtime: cri,
    clock,
    policy: { ...defaultImageGcPolicy, maxAgeMs: 24 * hour },
    diskStats: async () => ({ capacityBytes: 100, availableBytes: 50 }),
  });
  const collected = await collector.collect();
  expect(removed).toEqual(['never', 'old']);
  expect(collected.usagePercent).toBe(50);
  expect(collected.images.map(({ id, outcome, reason }) => [id, outcome, reason.fact])).toEqual([
    ['never', 'removed', 'too-old'],
    ['new', 'kept', 'not-full'],
    ['unknown', 'kept', 'not-full'],
    ['old', 'removed', 'too-old'],
    ['lately', 'kept', 'not-full'],
    ['elsewhere', 'kept', 'in-use'],
  ]);
  expect(collected.images[0]).toMatchObject({
    names: ['r.example/never:1'],
    reason: { text: 'No container has had it, and imageMaximumGCAge is 24h0m0s.' },
  });
});

test('of each image it is said why it went or stayed when space is needed', async () => {
  cri.node.set('young', { id: 'young', size: 1 });
  const collector = new ImageCollector({
    images: cri,
    runtime: cri,
    clock,
    policy: { ...defaultImageGcPolicy, minAgeMs: 60_000 },
    diskStats: async () => ({ capacityBytes: 100, availableBytes: 10 }),
  });
  const [before] = (await collector.collect()).images;
  expect(before).toMatchObject({
    outcome: 'kept',
    reason: { text: 'It is on the node for 0s, and imageMinimumGCAge is 1m0s.' },
  });
  await clock.advance(60_000);
  cri.node.set('other', { id: 'other', size: 10 });
  const { images, error } = await collector.collect();
  expect(images.map(({ id, outcome, reason }) => [id, outcome, reason.text])).toEqual([
    ['young', 'removed', 'Space is needed, and no container has had it.'],
    ['other', 'kept', 'It is on the node for 0s, and imageMinimumGCAge is 1m0s.'],
  ]);
  expect(error).toContain('Insufficient free disk space');
});
