/** A process that gives a file up and ends the thread that hashes it, and says `ended`: `hash-thread-closer.ts`. */

import { HashThread } from '../../../src/store/hash-thread.ts';

const thread = new HashThread();
const file = thread.begin({ path: '/dev/null', size: 1, algorithm: 'sha256' });
await new Promise((resolve) => setTimeout(resolve, 300));
file.abandon();
// The report of it is here after that, and has not been looked at.
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
thread.close().then(() => console.log('ended'));
