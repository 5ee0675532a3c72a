import { isMainThread } from 'node:worker_threads';
import { setParentDeathSignal } from '../lib/libc-process.ts';
import { userNamespaceMarker } from './user-namespace-marker.ts';

/**
 * Loaded into the program that runs inside a user namespace, before anything else: when the process outside is killed,
 * this one is asked to end, as the two are one program to the user. It is asked once: the kernel tells of the end of
 * each thread outside, and a second SIGTERM would not let containers end by themselves.
 */
if (isMainThread) {
  let asked = false;
  const askToEnd = () => {
    if (!asked) process.kill(process.pid, 'SIGTERM');
    asked = true;
  };
  process.on('SIGPWR', askToEnd);
  setParentDeathSignal('SIGPWR');
  if (process.ppid !== Number(process.env[userNamespaceMarker])) askToEnd();
}
