import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';

export interface DemoOptions {
  readonly keep?: true;
  readonly step?: true;
}

export function define(command: Command, cli: Cli): void {
  command
    .option('--keep', 'leave the nodes and the registry for you to explore')
    .option('--step', 'wait for Enter between the steps')
    .action(async (options: DemoOptions) => {
      const { runDemo } = await import('../demo/demo.ts');
      await runDemo(cli, options);
    });
  addNotes(
    command,
    'A registry and two nodes in a temporary folder, images that Lading builds itself, containers that really ' +
      'run: each line shows what a pull policy decided, what it cost, and what the container itself printed.',
  );
  addExamples(command, [
    ['lading demo', 'See how the three pull policies differ, in a few seconds'],
    ['lading demo --step --keep', 'Step by step, and keep everything to explore'],
  ]);
}
