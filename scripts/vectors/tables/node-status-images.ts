import { nodeStatusImages } from '../../../src/agent/index.ts';
import type { Check, VectorCase } from '../vector-table.ts';

export const check: Check = async ({ input }) => {
  const listImages = async () => {
    if (input.listError !== null) throw new Error(input.listError);
    return input.images.map(({ sizeBytes, ...image }: VectorCase['image']) => ({ ...image, size: sizeBytes }));
  };
  return { actual: await nodeStatusImages(listImages, input.nodeStatusMaxImages) };
};
