import { channel } from 'node:diagnostics_channel';

/** Tells `{ change }`, 1 or −1: how many more or fewer threads load their modules. */
export const threadStarts = channel('lading:thread-starts');

/** To be called before a thread is started; call the result once its modules are loaded, and when it has ended. */
export function threadStarting(): () => void {
  threadStarts.publish({ change: 1 });
  let isStarting = true;
  return () => {
    if (isStarting) threadStarts.publish({ change: -1 });
    isStarting = false;
  };
}
