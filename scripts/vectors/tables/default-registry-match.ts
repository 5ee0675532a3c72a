import { isDefaultRegistry } from '../../../src/policy/index.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input }) => ({ actual: { defaultRegistry: isDefaultRegistry(input.image) } });
