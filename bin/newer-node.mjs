// For a Node.js that is too old to run the program itself.
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { ensureNode } from './toolchain.mjs';

/** Runs a file with the arguments of this process, and ends as it ends. */
export function runWithNewerNode(file) {
  const child = spawn(ensureNode(), [file, ...process.argv.slice(2)], { stdio: 'inherit' });
  for (const signal of ['SIGINT', 'SIGHUP']) process.on(signal, () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  child.on('exit', (code, signal) => process.exit(code ?? 128 + (constants.signals[signal] ?? 0)));
}
