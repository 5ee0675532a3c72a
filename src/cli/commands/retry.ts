import type { Command } from 'commander';
import type { RetriedPod } from '../../api/index.ts';
import { type Cli, forEachArgument } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';
import { humanDuration } from '../human.ts';
import { type DocumentFormat, documentFormatOption, formatTable, oneLine } from '../output.ts';

interface RetryOptions {
  readonly output?: DocumentFormat;
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('<pod...>', 'pods of a `lading run` that is still running: POD or NAMESPACE/POD')
    .addOption(documentFormatOption())
    .action((pods: string[], options: RetryOptions) => retryAll(cli, pods, options));
  addNotes(
    command,
    'After a failed pull a pod waits 10 s, then twice as long, up to 5 minutes; the same holds for containers ' +
      'that end again and again. This forgets the delays, and the pod tries again at once.',
    'With -o, one pod gives a document, several give an array of documents.',
  );
  addExamples(command, [
    ['lading retry web', 'The registry is back: do not wait for the end of the back-off'],
    ['lading ps', 'Which pods wait, and why?'],
  ]);
}

async function retryAll(cli: Cli, pods: readonly string[], { output }: RetryOptions): Promise<void> {
  const { runningPods } = await import('../running-pods.ts');
  const running = runningPods(cli);
  const retry = async (pod: string) => {
    const retried = await running.retry(pod);
    if (!output) cli.stdout.write(await retriedText(retried));
    return retried;
  };
  await forEachArgument(cli, pods, retry, output);
}

async function retriedText({ namespace, name, containers, backOffs }: RetriedPod): Promise<string> {
  const waited = containers.map(({ name: container, reason, message }) => ['', container, reason, oneLine(message)]);
  const delays = backOffs.map(
    ({ image, leftMs }) => `  The next pull of ${image} was to wait ${humanDuration(leftMs)} more.\n`,
  );
  return `${namespace}/${name} tries again now\n${await formatTable(waited)}${delays.join('')}`;
}
