import { isMainThread } from 'node:worker_threads';
import { setParentDeathSignal } from '../lib/libc-process.ts';
import { userNamespaceMarker } from './user-namespace-marker.ts';

/**
 * Loaded into the program that runs inside a user namespace, before anything else: when the process outside is killed,
 * this one is asked to end, as the two are one program to the user.
 */
if (isMainThread) {
  setParentDeathSignal('SIGTERM');
  if (process.ppid !== Number(process.env[userNamespaceMarker])) process.kill(process.pid, 'SIGTERM');
}
