import type { Command } from 'commander';
import type { StoredEvent } from '../../store/index.ts';
import type { Cli } from '../cli.ts';
import { UsageError } from '../error-report.ts';
import { addExamples, addNotes } from '../help.ts';
import { humanDuration } from '../human.ts';
import {
  type Column,
  type ListFormat,
  listFormatOption,
  noHeadersOption,
  oneLine,
  printDocument,
  printList,
} from '../output.ts';

interface EventsOptions {
  readonly pod?: string;
  readonly follow?: boolean;
  readonly output: ListFormat;
  readonly headers: boolean;
}

export function define(command: Command, cli: Cli): void {
  command
    .option('--pod <pod>', 'only events of this pod: POD or NAMESPACE/POD')
    .option('-f, --follow', 'go on with events as they happen, until Ctrl-C')
    .addOption(listFormatOption())
    .addOption(noHeadersOption())
    .action((options: EventsOptions) => events(cli, options));
  addNotes(
    command,
    'What happened to the pods of this node in the last hour, oldest first, in the words of Kubernetes. A pull ' +
      'that takes longer has an event PullProgress, which is renewed every two seconds.',
    '-o json prints a list of events in the form of the Kubernetes API; with --follow an event on each line.',
  );
  addExamples(command, [
    ['lading events', 'What happened in the last hour?'],
    ['lading events --pod web --follow', 'What happens to a pod, as it happens'],
    [
      "lading events -f -o json | jq -c '.progress // empty'",
      'Progress of pulls for a program: bytes, rate, seconds left',
    ],
  ]);
}

async function events(cli: Cli, { pod, follow = false, output, headers }: EventsOptions): Promise<void> {
  const { eventsOf } = await import('../event-stream.ts');
  const { root } = cli.settings;
  if (pod !== undefined && !/^[^/]+(\/[^/]+)?$/.test(pod)) {
    throw new UsageError(`"${pod}" is not the name of a pod`, { hint: 'Write POD or NAMESPACE/POD.' });
  }
  const isWanted = ({ object: { kind, namespace, name } }: StoredEvent) =>
    pod === undefined || (kind === 'Pod' && [name, `${namespace}/${name}`].includes(pod));
  const all = eventsOf(root, { follow, signal: cli.signal });
  if (follow) return followEvents(cli, all, { isWanted, output, headers });
  const list: StoredEvent[] = [];
  for await (const event of all) if (isWanted(event)) list.push(event);
  if (output === 'json' || output === 'yaml') {
    return printDocument(cli, { apiVersion: 'v1', kind: 'EventList', items: list.map(kubernetesEvent) }, output);
  }
  const empty = `No events${pod === undefined ? '' : ` of pod ${pod}`} in the last hour on this node (${root}).`;
  await printList(cli, list, { format: output, headers, columns: columnsAt(Date.now()), empty });
}

interface FollowOptions extends Pick<EventsOptions, 'output' | 'headers'> {
  readonly isWanted: (event: StoredEvent) => boolean;
}

async function followEvents(
  cli: Cli,
  all: AsyncIterable<StoredEvent>,
  { isWanted, output, headers }: FollowOptions,
): Promise<void> {
  const isTable = output === 'table' || output === 'wide';
  const line = (cells: readonly string[]) =>
    `${cells.map((cell, index) => cell.padEnd(followWidths[index] ?? 0)).join('   ')}\n`;
  if (isTable && headers) cli.stdout.write(line(['TIME', 'TYPE', 'REASON', 'OBJECT', 'MESSAGE']));
  for await (const event of all) {
    if (!isWanted(event)) continue;
    if (output === 'json') {
      cli.stdout.write(`${JSON.stringify(kubernetesEvent(event))}\n`);
    } else if (output === 'yaml') {
      cli.stdout.write('---\n');
      await printDocument(cli, kubernetesEvent(event), output);
    } else {
      const { lastAtMs, type, reason, message } = event;
      // UTC, as all times here.
      const time = `${new Date(lastAtMs).toISOString().slice('2026-01-01T'.length, -'.000Z'.length)}Z`;
      cli.stdout.write(line([time, type, reason, objectOf(event), oneLine(message)]));
    }
  }
}

/** Of a stream, whose widest cell nobody knows yet: the reasons and the names that are usual. */
const followWidths = [9, 7, 16, 16];

function columnsAt(nowMs: number): Column<StoredEvent>[] {
  return [
    { header: 'LAST SEEN', value: (event) => lastSeen(event, nowMs) },
    { header: 'TYPE', value: ({ type }) => type },
    { header: 'REASON', value: ({ reason }) => reason },
    { header: 'OBJECT', value: objectOf },
    { header: 'SUBOBJECT', value: ({ object }) => object.fieldPath ?? '', wide: true },
    { header: 'MESSAGE', value: ({ message }) => message },
  ];
}

/** `12s`, `12s (x3 over 5m)`: as kubectl does. */
function lastSeen({ count, firstAtMs, lastAtMs }: StoredEvent, nowMs: number): string {
  const ago = humanDuration(nowMs - lastAtMs);
  return count === 1 ? ago : `${ago} (x${count} over ${humanDuration(nowMs - firstAtMs)})`;
}

function objectOf({ object: { kind, name } }: StoredEvent): string {
  return `${kind.toLowerCase()}/${name}`;
}

/** @see https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/ ; `hint` and `progress` are ours */
function kubernetesEvent({ id, object, type, reason, message, hint, data, count, firstAtMs, lastAtMs }: StoredEvent) {
  const [firstTimestamp, lastTimestamp] = [firstAtMs, lastAtMs].map((ms) => new Date(ms).toISOString());
  const { namespace, name } = object;
  return {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: { name: `${name}.${id.toString(16)}`, namespace, creationTimestamp: firstTimestamp },
    involvedObject: { apiVersion: 'v1', ...object },
    type,
    reason,
    message,
    count,
    firstTimestamp,
    lastTimestamp,
    source: { component: 'lading' },
    ...(hint === undefined ? {} : { hint }),
    ...(data === undefined ? {} : { progress: data }),
  };
}
