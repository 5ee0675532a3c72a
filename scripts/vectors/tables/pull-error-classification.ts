import { classifyPullError, combinePullErrors } from '../../../src/policy/index.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input }) => ({
  actual: classifyPullError(input.image, input.runtimeError ?? combinePullErrors(input.errorPerCredential)),
});
