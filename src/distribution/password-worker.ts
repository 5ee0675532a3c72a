/** Compares passwords with their bcrypt hashes, one after another, in a thread of its own. */
import { parentPort } from 'node:worker_threads';
import { compareSync } from 'bcryptjs';
import type { Comparison, Verdict } from './passwords.ts';

parentPort!.on('message', ({ id, password, hash }: Comparison) => {
  parentPort!.postMessage({ id, matches: compareSync(password, hash) } satisfies Verdict);
});
