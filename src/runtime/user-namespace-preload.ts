import { setParentDeathSignal } from '../lib/libc-process.ts';
import { userNamespaceMarker } from './user-namespace.ts';

/**
 * Loaded into the program that runs inside a user namespace, before anything else: when the process outside is killed,
 * this one is asked to end, as the two are one program to the user.
 */
setParentDeathSignal('SIGTERM');
if (process.ppid !== Number(process.env[userNamespaceMarker])) process.kill(process.pid, 'SIGTERM');
