import { checkCrashLoop, crashLoopBackOff } from '../../../src/policy/index.ts';
import type { Check, VectorCase } from '../vector-table.ts';

export const check: Check = ({ config, pod, container, steps }) => {
  const backOff = crashLoopBackOff(config);
  return steps.map(({ atMs, lastExitMs, expect }: VectorCase['step']) => {
    const wait = checkCrashLoop(backOff, { pod, container, lastExitMs: lastExitMs ?? undefined, atMs });
    return { actual: { inBackOff: wait !== undefined, ...wait }, expected: expect };
  });
};
