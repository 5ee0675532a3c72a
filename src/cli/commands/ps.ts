import type { Command } from 'commander';
import type { ApiPod, ApiPodContainer } from '../../api/index.ts';
import type { Cli } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';
import { humanDuration, shortDigest } from '../human.ts';
import {
  type Column,
  type ListFormat,
  listFormatOption,
  noHeadersOption,
  printDocument,
  printList,
} from '../output.ts';

interface PsOptions {
  readonly output: ListFormat;
  readonly headers: boolean;
}

interface ContainerRow {
  readonly pod: ApiPod;
  readonly container: ApiPodContainer;
}

export function define(command: Command, cli: Cli): void {
  command
    .addOption(listFormatOption())
    .addOption(noHeadersOption())
    .action((options: PsOptions) => ps(cli, options));
  addNotes(command, 'The pods of every `lading run` that is still running on this node: a line for each container.');
  addExamples(command, [
    ['lading ps', 'What runs, and which digest of its image?'],
    ['lading ps -o wide', 'With why containers wait, and when they try again'],
    ['lading ps -o json | jq -r ".[].containers[].imageID"', 'For scripts'],
  ]);
}

async function ps(cli: Cli, { output, headers }: PsOptions): Promise<void> {
  const { runningPods } = await import('../running-pods.ts');
  const pods = await runningPods(cli).list();
  if (output === 'json' || output === 'yaml') return printDocument(cli, pods, output);
  const rows = pods.flatMap((pod) => pod.containers.map((container) => ({ pod, container })));
  const empty = `Nothing runs on this node (${cli.settings.root}).`;
  await printList(cli, rows, { format: output, headers, columns: columnsAt(Date.now()), empty });
}

function columnsAt(nowMs: number): Column<ContainerRow>[] {
  return [
    { header: 'NAMESPACE', value: ({ pod }) => pod.namespace, wide: true },
    { header: 'POD', value: ({ pod }) => pod.name },
    { header: 'CONTAINER', value: ({ container }) => container.name },
    { header: 'STATUS', value: ({ container }) => container.status },
    { header: 'RESTARTS', value: ({ container }) => String(container.restartCount) },
    {
      header: 'AGE',
      value: ({ container: { startedAt } }) =>
        startedAt === undefined ? '-' : humanDuration(nowMs - Date.parse(startedAt)),
    },
    { header: 'IMAGE', value: ({ container }) => container.image },
    { header: 'POLICY', value: ({ container }) => container.imagePullPolicy, wide: true },
    { header: 'DIGEST', value: ({ container }) => shortDigest(digestOf(container)) || '-', wide: false },
    { header: 'DIGEST', value: ({ container }) => digestOf(container) || '-', wide: true },
    { header: 'PID', value: ({ pod }) => String(pod.pid), wide: true },
    { header: 'NEXT PULL', value: nextPull, wide: true },
    { header: 'MESSAGE', value: ({ container }) => container.message, wide: true },
  ];
}

/** `REPOSITORY@sha256:…` without the repository; empty while nothing runs. */
function digestOf({ imageID }: ApiPodContainer): string {
  return imageID.slice(imageID.indexOf('@') + 1);
}

/** When a container that waits in back-off may pull again. */
function nextPull({ pod, container }: ContainerRow): string {
  const backOff = pod.backOffs.find(({ image }) => image === container.image);
  return backOff ? `in ${humanDuration(backOff.leftMs)}` : '';
}
