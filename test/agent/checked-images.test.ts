import { expect, test } from 'vitest';
import { AgentHarness, podOf } from './support.ts';

test.each([
  ['an id', { id: '', size: 1 }],
  ['a size', { id: 'sha256:1', size: 0 }],
])('an image of the runtime without %s is an inspection error', async (_, image) => {
  const h = await AgentHarness.create();
  h.cri.node.set('app:1', image);
  const worker = h.start(podOf([{ name: 'app', image: 'app:1' }]));
  await h.clock.advance(1000);
  expect(worker.status().containerStatuses[0]!.state.waiting).toEqual({
    reason: 'ImageInspectError',
    message: 'Failed to inspect image "": Id or size of image "app:1" is not set',
  });
});

test('a pull that names no image has failed', async () => {
  const h = await AgentHarness.create();
  h.cri.registry.set('app:latest', { id: '' });
  const worker = h.start(podOf([{ name: 'app', image: 'app' }]));
  await h.clock.advance(1000);
  expect(worker.status().containerStatuses[0]!.state.waiting).toEqual({
    reason: 'ErrImagePull',
    message: 'imageRef of image "app:latest" is not set',
  });
});
