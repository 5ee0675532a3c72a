import { registryPatternMatches } from '../../../src/policy/index.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input: { pattern, target } }) => {
  try {
    return { actual: { match: registryPatternMatches(pattern, target), error: false } };
  } catch {
    return { actual: { match: false, error: true } };
  }
};
