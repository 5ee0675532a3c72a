import { RunningPods, socketFolder } from '../api/index.ts';
import type { Cli } from './cli.ts';

/** The pods that run on the node of this command. */
export function runningPods(cli: Cli): RunningPods {
  return new RunningPods({ root: cli.settings.root, folder: socketFolder(process.env, process.geteuid?.() ?? 0) });
}
