import { defaultPullPolicy } from '../../../src/policy/index.ts';
import { type Check, unknownKind } from '../vector-table.ts';

export const check: Check = ({ input }) => {
  if (!['container', 'ephemeralContainer', 'imageVolume'].includes(input.kind)) unknownKind(input.kind);
  return { actual: { policy: defaultPullPolicy(input.image, input.explicitPolicy).policy } };
};
