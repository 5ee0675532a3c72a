/** Tells the demo's story step by step, with a table for each. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { styleText } from 'node:util';
import { stringify } from 'yaml';
import { errorMessage } from '../../lib/errors.ts';
import type { ContainerRuntime } from '../../runtime/index.ts';
import type { Cli } from '../cli.ts';
import type { DemoOptions } from '../commands/demo.ts';
import { UsageError } from '../error-report.ts';
import { humanSize, shortDigest } from '../human.ts';
import { chooseRuntime } from '../node.ts';
import { formatTable, wrapped } from '../output.ts';
import { ask } from '../prompt.ts';
import { manifestOf, type Start } from './demo-node.ts';
import { answer, type Stage, setStage } from './story.ts';

export async function runDemo(cli: Cli, { keep, step: waits }: DemoOptions): Promise<void> {
  const { stdout } = cli;
  if (waits && !process.stdin.isTTY) {
    throw new UsageError('there is no terminal to wait for Enter at', { hint: 'Leave out --step.' });
  }
  const startedMs = Date.now();
  const folder = await mkdtemp(join(tmpdir(), 'lading-demo-'));
  try {
    const runtime = await runtimeFor(cli, folder);
    const stage = await setStage(folder, runtime);
    try {
      stdout.write(`Registry ${stage.address}, nodes worker-1 and worker-2, all below ${folder}\n`);
      for (const [index, step] of stage.steps.entries()) {
        if (waits && index > 0) await ask(cli, '\nEnter goes on ');
        cli.signal.throwIfAborted();
        stdout.write(
          `\n${styleText('bold', `${index + 1}. ${step.title}`, { stream: stdout })}\n${prose(step.text, stdout)}\n\n`,
        );
        stdout.write(await startsTable(await step.act()));
      }
      const seconds = ((Date.now() - startedMs) / 1000).toFixed(1);
      stdout.write(`\n${prose(answer, stdout)}\n\nTold in ${seconds} s${waits ? '' : ' with real parts'}.\n`);
    } finally {
      await stage.close();
    }
    if (keep) stdout.write(await whatIsKept(folder, stage));
  } finally {
    if (!keep) await rm(folder, { recursive: true, force: true });
  }
}

async function runtimeFor({ stdout, stderr }: Cli, folder: string): Promise<ContainerRuntime | undefined> {
  try {
    const { runtime, rejected } = await chooseRuntime(folder);
    const others = rejected.map(({ name, reason }) => ` (${name} is not used: ${reason})`).join('');
    stdout.write(`Containers run with ${runtime.name} ${runtime.version}${others}\n`);
    for (const limitation of runtime.limitations) stdout.write(`  ${limitation}\n`);
    return runtime;
  } catch (error) {
    stderr.write(`The story goes up to the start of the containers: ${errorMessage(error)}\n`);
    return undefined;
  }
}

async function startsTable(starts: readonly Start[]): Promise<string> {
  return formatTable([
    ['NODE', 'POD', 'POLICY', 'DECISION', 'RUNS', 'REQUESTS', 'BYTES', 'CONTAINER PRINTED'],
    ...starts.map((start) => [
      start.node,
      start.pod,
      start.policy,
      start.decision,
      start.digest === undefined ? '-' : shortDigest(start.digest),
      String(start.requests),
      humanSize(start.bytes),
      start.printed,
    ]),
  ]);
}

/** Texts have lines of up to 120 columns; on a narrower terminal they are broken anew. */
function prose(text: string, { isTTY, columns }: NodeJS.WriteStream): string {
  if (!isTTY || !(columns > 0) || columns >= 120) return text;
  return text
    .split('\n\n')
    .map((paragraph) => wrapped(paragraph.replaceAll('\n', ' '), columns))
    .join('\n\n');
}

/** Leaves the pods beside the nodes. Returns what can be done with all of it. */
async function whatIsKept(folder: string, { address, pods }: Stage): Promise<string> {
  const manifests = join(folder, 'pods.yaml');
  await writeFile(manifests, pods.map((pod) => stringify(manifestOf(pod))).join('---\n'));
  const on = (worker: string) => `  lading --root ${join(folder, worker)}`;
  // npm sets it for its scripts, which are how a clone of the repository runs the program.
  const inClone = process.env.npm_lifecycle_event === undefined ? '' : ' (`lading` is `npm run lading --` here)';
  return `
Kept in ${folder}${inClone}:

${on('worker-1')} images
${on('worker-2')} history ${address}/img1:latest
  lading --root ${folder} registry serve --addr ${address}

While the registry serves:

${on('worker-2')} explain ${manifests}
${on('worker-2')} run ${manifests}

Remove the folder when you are done.
`;
}
