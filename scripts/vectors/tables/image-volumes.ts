import {
  containerImageVolumes,
  EventRecorder,
  ImageManager,
  type ImageVolumePull,
  pullImageVolumes,
} from '../../../src/agent/index.ts';
import type { ImageService } from '../../../src/cri/index.ts';
import { systemClock } from '../../../src/lib/clock.ts';
import { podNamed, unusedImageCalls } from '../agent-parts.ts';
import { type Check, unknownKind, type VectorCase } from '../vector-table.ts';

export const check: Check = ({ input }) => {
  if (input.step === 'pull') return pull(input);
  if (input.step === 'mount') return mount(input);
  return unknownKind(input.step);
};

/** On a node without images, with a registry that has every image. */
const images: ImageService = {
  ...unusedImageCalls,
  imageStatus: async () => undefined,
  pullImage: async ({ image: { image } }) => ({ imageRef: image }),
};

async function pull({ volumes }: VectorCase['input']) {
  const events = new EventRecorder(systemClock.now, () => {});
  const manager = new ImageManager({ images, clock: systemClock, events });
  const imageVolumes = volumes
    .filter(({ image }: VectorCase['volume']) => image)
    .map(({ name, image }: VectorCase['volume']) => ({ name, ...image }));
  const pod = podNamed({ name: 'pod', namespace: 'ns', uid: 'uid' });
  const pulls = await pullImageVolumes(manager, pod, imageVolumes);
  return { actual: { pulls: Object.fromEntries([...pulls].map(([name, result]) => [name, shown(result)])) } };
}

function shown(result: ImageVolumePull): unknown {
  if ('error' in result) return { ref: null, userSpecified: null, ...result };
  return { ref: result.image.image, userSpecified: result.image.userSpecifiedImage, error: null, message: '' };
}

function mount({ pulls, mounts }: VectorCase['input']) {
  const given = Object.entries<VectorCase['pull']>(pulls).map(([name, { ref, userSpecified, error, message }]) => {
    const pulled: ImageVolumePull = error
      ? { error, message }
      : { image: { image: ref, userSpecifiedImage: userSpecified } };
    return [name, pulled] as const;
  });
  const result = containerImageVolumes(new Map(given), mounts);
  if ('failures' in result) return { actual: { volumes: null, ...result.failures.at(-1) } };
  const { volumes } = result;
  return { actual: { volumes: volumes && Object.fromEntries([...volumes].map(([name, { image }]) => [name, image])) } };
}
