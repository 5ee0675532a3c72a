import { LadingError } from '../../lib/errors.ts';
import type { ContainerRuntime } from '../../runtime/index.ts';

/** Stands for a runtime on machines that cannot run containers: everything up to the start happens, the start fails. */
export const noContainers: ContainerRuntime = {
  name: 'embedded',
  version: '',
  isolation: 'reduced',
  limitations: [],
  async start() {
    throw new LadingError('ERR_LADING_RUNTIME_UNSUPPORTED', 'containers cannot run on this machine');
  },
  async cleanUp() {},
};
