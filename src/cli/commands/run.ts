import { type Command, InvalidArgumentError, Option } from 'commander';
import type { RuntimeChoice } from '../../runtime/index.ts';
import { type Cli, Exit } from '../cli.ts';
import { addExamples, addNotes } from '../help.ts';

export interface RunOptions {
  readonly runtime?: RuntimeChoice;
  readonly gracePeriod?: number;
  readonly retry?: true;
  readonly imageOverride?: readonly string[];
  readonly imageCredentialProviderConfig?: string;
  readonly imageCredentialProviderBinDir?: string;
}

export function define(command: Command, cli: Cli): void {
  command
    .argument('<file...>', 'Kubernetes manifests: a path, or - for standard input')
    .addOption(
      new Option('--runtime <name>', 'what runs the containers (default: the first of these that works here)').choices([
        'runc',
        'crun',
        'embedded',
      ]),
    )
    .option('--grace-period <seconds>', "time to end after Ctrl-C, instead of the pods' own", parseSeconds)
    .option('--retry', 'keep trying when a container cannot be started the first time, as a kubelet does')
    .addOption(
      new Option(
        '--image-override <name=digest>',
        'run this digest of an image, of the node or of its registry; can be given several times',
      ).argParser((text: string, before: readonly string[] = []) => [...before, text]),
    )
    .option('--image-credential-provider-config <file>', "credential plugins: the kubelet's file, or a folder of such")
    .option('--image-credential-provider-bin-dir <dir>', 'where the programs of credential plugins are')
    .action((files: string[], options: RunOptions) => run(cli, files, options));
  addNotes(
    command,
    'Kinds: Pod and List; Deployment, DaemonSet, StatefulSet and Job through their pod templates. The pull ' +
      "policy is evaluated at every start and every restart of a container. Containers use this machine's " +
      'network.',
    "Ends with the pods' exit code when they are done; Ctrl-C stops them, a second Ctrl-C does not wait for them.",
  );
  addExamples(command, [
    ['lading run pod.yaml', 'Run the pods of a manifest until they end or Ctrl-C'],
    ['kubectl get deployment web -o yaml | lading run -', 'Run a pod of a deployment as it is in a cluster'],
    [
      'lading run --image-override img1:latest=sha256:76c84bf4666e pod.yaml',
      'Roll back to a digest that `lading history img1:latest` shows',
    ],
    ['lading run --runtime embedded --root ./node pod.yaml', 'Without runc and crun, on a node in a folder'],
  ]);
}

async function run(cli: Cli, files: readonly string[], options: RunOptions): Promise<void> {
  const { readManifest } = await import('../manifest-files.ts');
  const pods = [];
  for (const file of files) pods.push(...(await readManifest(file, { signal: cli.signal })));
  const { runInForeground } = await import('../foreground.ts');
  const exitCode = await runInForeground(cli, pods, options);
  if (exitCode !== 0) throw new Exit(exitCode);
}

function parseSeconds(text: string): number {
  if (!/^\d+$/.test(text)) throw new InvalidArgumentError('Give a whole number of seconds.');
  return Number(text);
}
