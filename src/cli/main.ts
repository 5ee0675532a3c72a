/**
 * The program `lading`: the command line in front of everything else, and the only folder where the parts are put
 * together. It promises exit codes that scripts can use, results on stdout, everything else on stderr. It never decides
 * what a pull policy means and never touches a store but through the folders that own them.
 */
import { constants } from 'node:os';
import { Interruption } from './cli.ts';
import { runProgram } from './program.ts';

const controller = new AbortController();
let hurry: (() => void) | undefined;
let reload: (() => void) | undefined;

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (signal === 'SIGHUP' && reload) {
      reload();
    } else if (!controller.signal.aborted) {
      controller.abort(new Interruption(signal));
    } else if (hurry) {
      const action = hurry;
      hurry = undefined;
      action();
    } else {
      process.exit(128 + constants.signals[signal]);
    }
  });
}
const { stdout, stderr } = process;
for (const stream of [stdout, stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') {
      controller.abort(new Interruption('SIGPIPE'));
      return;
    }
    if (stream === stdout) stderr.write(`error: cannot write the result: ${error.message}\n`);
    process.exit(1);
  });
}
// When nothing is left to do: to take the heap apart, as Node.js does otherwise, costs 5 ms after a copy.
process.once('beforeExit', () => process.exit());
// Should nothing be left to do before the program has ended.
process.exitCode = 13;
const exitCode = runProgram(process.argv.slice(2), {
  stdout,
  stderr,
  signal: controller.signal,
  onSecondInterrupt(action) {
    hurry = action;
  },
  onHangup(action) {
    reload = action;
  },
});
// No `await` at the top: the build makes a script of this.
exitCode.then((code) => {
  process.exitCode = code;
});
