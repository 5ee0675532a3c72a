import { runtimeImage } from '../../../src/policy/index.ts';
import { orError } from '../policy-error.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input }) => ({ actual: orError(() => ({ runtimeImage: runtimeImage(input.image) })) });
