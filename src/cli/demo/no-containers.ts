import { LadingError } from '../../lib/errors.ts';
import type { ContainerRuntime } from '../../runtime/index.ts';

/** Stands for a runtime on machines that cannot run containers: everything up to the start happens, the start fails. */
export function noContainers(reason: string): ContainerRuntime {
  return {
    name: 'embedded',
    version: '',
    isolation: 'reduced',
    limitations: [],
    async start() {
      throw new LadingError('ERR_LADING_RUNTIME_UNSUPPORTED', reason);
    },
    async cleanUp() {},
  };
}
