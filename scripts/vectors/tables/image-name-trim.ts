import { recordKey } from '../../../src/policy/index.ts';
import { orError } from '../policy-error.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input, expect }) => {
  const actual = orError(() => ({ name: recordKey(input.image) }));
  return { actual: expect.error === true && 'error' in actual ? { error: true } : actual };
};
