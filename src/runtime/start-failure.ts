import { LadingError } from '../lib/errors.ts';
import type { RuntimeChoice, RuntimeContainer } from './container.ts';

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
