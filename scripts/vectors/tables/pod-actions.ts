import type { ContainerFacts } from '../../../src/agent/container-facts.ts';
import { podActions } from '../../../src/agent/pod-actions.ts';
import type { Check, VectorCase } from '../vector-table.ts';

export const check: Check = ({ input }) => {
  const { sandbox } = input;
  const actions = podActions({
    restartPolicy: input.podRestartPolicy || 'Always',
    sandbox: sandbox ? { ready: sandbox.state === 'ready' && sandbox.ip !== '', attempt: sandbox.attempt } : undefined,
    initContainers: input.initContainers.map(factsOf),
    containers: input.containers.map(factsOf),
    ephemeralContainers: input.ephemeralContainers.map(factsOf),
  });
  return {
    actual: {
      ...actions,
      containersToKill: actions.containersToKill.map(({ kind, index }) => input[kind][index].name),
      reuseSandbox: sandbox !== null,
    },
  };
};

function factsOf(container: VectorCase['container']): ContainerFacts {
  const { name, state, exitCode, restartPolicy, specChanged, startupProbe, startup, liveness } = container;
  return {
    name,
    restartPolicy: restartPolicy ?? undefined,
    newest: state ? { state, exitCode } : undefined,
    specChanged,
    hasStartupProbe: startupProbe,
    startup,
    liveness,
  };
}
