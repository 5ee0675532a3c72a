import { RunningPods, socketFolder } from '../api/index.ts';
import type { Cli } from './cli.ts';

/** The pods that run on a node, by default that of this command. */
export function runningPods(cli: Cli, root = cli.settings.root): RunningPods {
  return new RunningPods({ root, folder: socketFolder(process.env, process.geteuid?.() ?? 0) });
}
