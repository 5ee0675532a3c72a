import { errorMessage, LadingError } from '../lib/errors.ts';
import { cleanUpContainer } from './clean-up.ts';
import type { RunningContainer, RuntimeChoice, RuntimeContainer } from './container.ts';

/**
 * Starts a container, or leaves nothing of it behind.
 * @throws LadingError `ERR_LADING_RUNTIME_START` for whatever `start` throws that has no code of ours
 */
export async function startOrCleanUp(
  container: RuntimeContainer,
  runtime: RuntimeChoice,
  start: () => Promise<RunningContainer>,
): Promise<RunningContainer> {
  try {
    return await start();
  } catch (error) {
    await cleanUpContainer(container.id, container.bundleDir);
    throw error instanceof LadingError ? error : startFailure(container, runtime, errorMessage(error));
  }
}

/** @param reason the runtime's own words */
export function startFailure(container: RuntimeContainer, runtime: RuntimeChoice, reason: string): LadingError {
  const { id, process } = container;
  const hint = /not found|no such file/i.test(reason)
    ? `Is ${process.args[0]} in the image, and is the loader or interpreter that it needs?`
    : /exec format/i.test(reason)
      ? `Is ${process.args[0]} built for ${globalThis.process.arch}, or a script without #! line?`
      : undefined;
  return new LadingError('ERR_LADING_RUNTIME_START', `${runtime} could not start container ${id}: ${reason}`, {
    hint,
    data: { id, runtime, reason },
  });
}
