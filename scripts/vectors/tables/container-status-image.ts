import { gcImageId, statusImage } from '../../../src/agent/index.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input }) => {
  const status = {
    image: { image: input.runtimeImage },
    imageRef: input.runtimeImageRef,
    imageId: input.runtimeImageId,
  };
  return { actual: { ...statusImage(status), gcImageID: gcImageId(status) } };
};
