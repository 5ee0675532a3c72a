import { channel } from 'node:diagnostics_channel';

/**
 * Tells `{ change }`, 1 or −1: how many more or fewer modules or threads with modules are being loaded, for which
 * compiled code may be there. `bin/program.cjs` tells it too.
 */
export const compiling = channel('lading:compiling');

/** To be called before a thread is started; call the result once its modules are loaded, and when it has ended. */
export function threadStarting(): () => void {
  compiling.publish({ change: 1 });
  let isStarting = true;
  return () => {
    if (isStarting) compiling.publish({ change: -1 });
    isStarting = false;
  };
}
