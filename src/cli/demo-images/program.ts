/**
 * What the two machine-code programs have in common. They block SIGHUP, SIGINT and SIGTERM, write their text to
 * stdout, wait until one of the signals arrives and exit with status 0. Blocked and waited for, the signals also reach
 * the first process of a container, for which Linux drops every signal that has no handler.
 */

export const stdoutDescriptor = 1;
/** `how` of rt_sigprocmask: add to the blocked signals. */
export const sigBlock = 0;
/** EINTR: another signal, or a stop and continue, ended the wait. */
export const interrupted = 4;
/** Size of the kernel's signal set, which the calls want to be told. */
export const signalSetBytes = 8;

/** Signal N is bit N - 1. */
const signals = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };
export const waitedSignals = Object.values(signals).reduce((set, signal) => set | (1n << BigInt(signal - 1)), 0n);

/** The data behind the code. */
export const dataLabels = { text: 'text', signals: 'signals' };
