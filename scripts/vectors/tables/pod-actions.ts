import { podActions } from '../../../src/agent/pod-actions.ts';
import type { Adapter, Check, VectorCase } from '../vector-table.ts';

/** Init and ephemeral containers, probes, changed specs and pod addresses are not there yet. */
export const covers: Adapter['covers'] = ({ input }) =>
  input.initContainers.length === 0 &&
  input.ephemeralContainers.length === 0 &&
  input.sandbox?.ip !== '' &&
  input.containers.every(
    ({ specChanged, liveness, startup }: VectorCase['container']) => !specChanged && !liveness && !startup,
  );

export const check: Check = ({ input }) => {
  const { sandbox, containers } = input;
  const actions = podActions({
    restartPolicy: input.podRestartPolicy || 'Always',
    sandbox: sandbox ? { ready: sandbox.state === 'ready', attempt: sandbox.attempt } : undefined,
    containers: containers.map(({ state, exitCode, restartPolicy }: VectorCase['container']) => ({
      restartPolicy,
      newest: state ? { state, exitCode } : undefined,
    })),
  });
  return {
    actual: {
      ...actions,
      containersToKill: actions.containersToKill.map((index) => containers[index].name),
      reuseSandbox: sandbox !== null,
      initContainersToStart: [],
      ephemeralContainersToStart: [],
    },
  };
};
