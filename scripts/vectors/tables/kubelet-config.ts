import { defaultKubeletConfig, kubeletConfigErrors } from '../../../src/policy/index.ts';
import { type Check, unknownKind } from '../vector-table.ts';

export const check: Check = ({ input: { phase, given, changes }, expect }) => {
  if (phase === 'default') return { actual: { config: defaultKubeletConfig(given) } };
  if (phase !== 'validate') return unknownKind(phase);
  const errors = kubeletConfigErrors({ ...defaultKubeletConfig(), ...changes });
  const expected = expect.errorContains === null ? { error: null } : expect;
  return { expected, actual: { error: errors.length > 0 ? errors.join(', ') : null } };
};
