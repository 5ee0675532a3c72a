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
