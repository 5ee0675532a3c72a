import { decideRestart } from '../../../src/policy/index.ts';
import type { Check } from '../vector-table.ts';

export const check: Check = ({ input }) => {
  const { start } = decideRestart({
    podRestartPolicy: input.podRestartPolicy,
    podDeleting: input.podDeleting,
    containerRestartPolicy: input.containerRestartPolicy ?? undefined,
    restartRules: input.restartRules,
    newest: input.history[0],
  });
  return { actual: { start } };
};
