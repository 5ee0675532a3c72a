import type { Command } from 'commander';
import type { Cli } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';

export function define(command: Command, cli: Cli): void {
  command.action(() => metrics(cli));
  addNotes(
    command,
    'Text for Prometheus, under the names that the kubelet has for them: evaluations of pull policies, checks ' +
      'of credentials, pulls by size and duration, images that were collected. Counted by every `lading run` ' +
      'that is still running on this node, together, since it began.',
  );
  addExamples(command, [
    ['lading metrics', 'How often was an image pulled, and how often was it there?'],
    ['lading metrics > /var/lib/prometheus/node-exporter/lading.prom', "For the node exporter's text files"],
  ]);
}

async function metrics(cli: Cli): Promise<void> {
  const { runningPods } = await import('../running-pods.ts');
  cli.stdout.write(await runningPods(cli).metrics());
}
