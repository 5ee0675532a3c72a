/** Runs pods in the foreground: their output on stdout, what happens to them on stderr, until they end or are stopped. */
import { styleText } from 'node:util';
import type {
  ContainerOutput,
  CredentialPlugins,
  EventText,
  ImageDecision,
  KubeEvent,
  Pod,
  PodStatus,
} from '../agent/index.ts';
import { type NodeApi, serveNodeApi, socketFolder } from '../api/index.ts';
import type { PodSandboxMetadata } from '../cri/index.ts';
import { errorMessage, LadingError } from '../lib/errors.ts';
import { formatReference } from '../oci/index.ts';
import { isKubeletReason } from '../policy/index.ts';
import type { PullProgress } from '../pull/index.ts';
import { type Cli, Interruption, storeOptions } from './cli.ts';
import type { RunOptions } from './commands/run.ts';
import { kubeletSettings } from './configuration/kubelet.ts';
import { credentialPlugins } from './credential-plugin-options.ts';
import { shortDigest } from './human.ts';
import { overrideImages } from './image-overrides.ts';
import { chooseRuntime, type Node, openNodeToRun, type PodNode, startAgent, whenUnreachableSetting } from './node.ts';
import { printable } from './output.ts';
import { openProgressView, type ProgressView } from './progress-view.ts';
import { registryOptions } from './registry-options.ts';
import { runningDigest } from './running-digest.ts';

/** @returns the exit code of the pods: the first that is not 0, in the order of their containers */
export async function runInForeground(cli: Cli, pods: readonly Pod[], options: RunOptions): Promise<number> {
  const plugins = credentialPlugins(options, cli.signal);
  const screen = new Screen(cli);
  const { mirrors = {} } = registryOptions(cli);
  const registry = { mirrors, onWarning: ({ text }: { text: string }) => screen.warn(text) };
  const node = await openNodeToRun(
    { root: cli.settings.root, store: storeOptions(cli), registry, limits: cli.settings['unpack.limits'] },
    (text) => screen.warn(text),
  );
  try {
    const overridden = await overrideImages(pods, options.imageOverride ?? [], node, cli.signal);
    return await runPods({ cli, node, screen, plugins }, overridden, options);
  } finally {
    await screen.close();
    await node.close();
  }
}

interface RunContext {
  readonly cli: Cli;
  readonly node: Node;
  readonly screen: Screen;
  readonly plugins: CredentialPlugins | undefined;
}

async function runPods(
  { cli, node, screen, plugins }: RunContext,
  pods: readonly Pod[],
  options: RunOptions,
): Promise<number> {
  const { config } = await kubeletSettings(cli.configuration);
  const { runtime, rejected, warnings } = await chooseRuntime(node.store.stateFolder, options.runtime);
  for (const { name, reason } of rejected) screen.note(`${name} is not used: ${reason}`);
  // Warnings speak of what pods may ask for, and none of these does.
  if (cli.verbose) for (const text of warnings) screen.note(text);
  for (const text of [...runtime.limitations, ...pods.flatMap((pod) => pod.warnings)]) screen.warn(text);

  const firstStarts = new FirstStarts();
  node.images.onPullWarning((reference, warning) => screen.warn(`${formatReference(reference)}: ${warning}`));
  node.images.onPullProgress((reference, progress, pod) => {
    screen.progress({ pod, image: formatReference(reference) }, progress);
  });
  const podNode = await startAgent(node, runtime, {
    plugins,
    config,
    whenUnreachable: whenUnreachableSetting(cli.settings),
    onOutput: (output) => screen.output(output),
    onDecision: (decision) => {
      const { imageRef, image } = decision;
      const digest = imageRef === undefined ? undefined : runningDigest(node.images, imageRef, image);
      screen.decision(decision, digest);
      firstStarts.decided(decision);
    },
    onNodeEvent: (event) => screen.nodeEvent(event),
    onEvent: (event) => {
      screen.event(event);
      if (!options.retry) firstStarts.happened(event);
    },
  });
  const api = await openNodeApi(cli, screen, podNode);
  const grace = options.gracePeriod === undefined ? {} : { gracePeriodSeconds: options.gracePeriod };
  try {
    const workers = pods.map((pod) => podNode.agent.startPod(pod));
    const ended = Promise.all(workers.map((worker) => worker.finished));
    const statuses = await Promise.race([ended, firstStarts.failed, aborted(cli.signal)]);
    return exitCodeOf(statuses);
  } finally {
    const isPipeGone = cli.signal.reason instanceof Interruption && cli.signal.reason.signal === 'SIGPIPE';
    if (cli.signal.aborted && !isPipeGone) screen.note('stopping; Ctrl-C again does not wait for the grace period');
    // What it throws, the stop below throws too.
    cli.onSecondInterrupt(() => void podNode.agent.stop({ gracePeriodSeconds: 0 }).catch(() => {}));
    await podNode.agent.stop(grace);
    await api?.close();
    await podNode.close();
  }
}

/** For `lading ps`, `retry` and `metrics`; without it the pods run all the same. */
async function openNodeApi(cli: Cli, screen: Screen, { agent }: PodNode): Promise<NodeApi | undefined> {
  try {
    const folder = socketFolder(process.env, process.geteuid!());
    return await serveNodeApi({
      folder,
      root: cli.settings.root,
      pods: () => agent.pods(),
      metrics: () => agent.metricsText(),
    });
  } catch (error) {
    screen.warn(`lading ps, retry and metrics will not find these pods: ${errorMessage(error)}`);
    return undefined;
  }
}

/** Rejects when a container fails before it ever ran: nobody who waits in front of a terminal wants that repeated. */
class FirstStarts {
  readonly failed: Promise<never>;
  #fail!: (error: Error) => void;
  readonly #decisions = new Map<string, ImageDecision>();
  readonly #started = new Set<string>();

  constructor() {
    this.failed = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.failed.catch(() => {});
  }

  decided(decision: ImageDecision): void {
    this.#decisions.set(keyOf(decision.pod.metadata.uid, decision.fieldPath), decision);
  }

  happened({ type, reason, message, hint, object }: KubeEvent): void {
    const key = keyOf(object.uid, object.fieldPath);
    if (reason === 'Started') this.#started.add(key);
    if (reason === 'FailedCreatePodSandBox' && ![...this.#started].some((started) => started.startsWith(object.uid))) {
      const failure = `pod ${object.name} does not start: ${message}`;
      this.#fail(new LadingError('ERR_LADING_POD_START', failure, { hint: sentences(hint, retryHint) }));
    }
    if (type !== 'Warning' || reason !== 'Failed' || this.#started.has(key)) return;
    const decision = this.#decisions.get(key);
    // The event about the image comes before the decision; the one about the start comes after it.
    if (!decision || !message.startsWith('Error: ')) return;
    const where = `pod ${object.name}, container ${decision.container}`;
    const { error } = decision;
    this.#fail(
      error === undefined
        ? new LadingError('ERR_LADING_POD_START', `${where} does not start: ${message.slice('Error: '.length)}`, {
            hint: sentences(hint ?? 'Look at command, args and the image.', retryHint),
          })
        : new LadingError(
            isKubeletReason(error) ? error : 'ERR_LADING_POD_START',
            `${where} does not start (${error}): ${decision.message}`,
            { hint: imageHint(decision, hint) },
          ),
    );
  }
}

const retryHint = '--retry keeps trying as a kubelet does.';

function imageHint({ error, image }: ImageDecision, advice: string | undefined): string {
  const explain = `\`lading explain ${image}\` shows what each pull policy would do.`;
  if (error === 'ErrImageNeverPull') return `Bring it to this node first: \`lading pull ${image}\`. ${explain}`;
  if (error === 'InvalidImageName') return 'An image is written [REGISTRY/]REPOSITORY[:TAG][@DIGEST].';
  return sentences(advice, explain, retryHint);
}

function sentences(...texts: readonly (string | undefined)[]): string {
  return texts.filter((text) => text !== undefined).join(' ');
}

const colors = ['cyan', 'magenta', 'green', 'blue', 'yellow'] as const;

/** Where all lines go, one after another, also while a progress view is drawn. */
class Screen {
  readonly #cli: Cli;
  readonly #colors = new Map<string, (typeof colors)[number]>();
  #view: ProgressView | undefined;
  /** What the view calls the pull of a pod, by its uid: the images of one pod are pulled one after another. */
  readonly #pulls = new Map<string, string>();
  /** Opening a view takes a moment; everything waits its turn. */
  #queue: Promise<void> = Promise.resolve();

  constructor(cli: Cli) {
    this.#cli = cli;
  }

  output({ pod, container, stream, line }: ContainerOutput): void {
    const prefix = `[${pod.metadata.name}/${container}]`;
    const target = stream === 'stderr' ? this.#cli.stderr : this.#cli.stdout;
    this.#write(target, `${styleText(this.#colorOf(prefix), prefix, { stream: target })} ${line}\n`);
  }

  event({ object, count, ...event }: KubeEvent): void {
    const container = /\{(.*)\}$/.exec(object.fieldPath ?? '')?.[1];
    const subject = container === undefined ? object.name : `${object.name}/${container}`;
    if (event.reason === 'Pulled' || event.reason === 'Failed') this.#pullEnded(object.uid);
    this.#event(subject, event, count > 1 ? ` (${count} times)` : '');
  }

  #pullEnded(podUid: string): void {
    this.#enqueue(() => {
      const name = this.#pulls.get(podUid);
      if (name !== undefined) this.#view?.finish(name);
      this.#pulls.delete(podUid);
    });
  }

  nodeEvent(event: EventText): void {
    this.#event('node', event);
  }

  #event(subject: string, { type, reason, message }: EventText, times = ''): void {
    const line = `${subject}  ${reason}: ${printable(message)}${times}`;
    const { stderr } = this.#cli;
    this.#write(stderr, `${type === 'Warning' ? styleText('yellow', line, { stream: stderr }) : line}\n`);
  }

  /** @param digest of what runs */
  decision({ pod, container, policy, reasons, error }: ImageDecision, digest: Promise<string> | undefined): void {
    if (error !== undefined && !this.#cli.verbose) return;
    const why = this.#cli.verbose ? `: ${reasons.map(({ text }) => text).join(' ')}` : '';
    const { stderr } = this.#cli;
    this.#enqueue(async () => {
      const what = digest === undefined ? `does not start (${error})` : `runs ${shortDigest(await digest)}`;
      this.#print(stderr, `${printable(`${pod.metadata.name}/${container}  ${policy}: ${what}${why}`)}\n`);
    });
  }

  progress({ pod, image }: { pod: PodSandboxMetadata | undefined; image: string }, progress: PullProgress): void {
    this.#enqueue(async () => {
      const name = pod ? `${pod.name}  ${image}` : image;
      if (pod) this.#pulls.set(pod.uid, name);
      this.#view ??= await openProgressView(this.#cli.stderr);
      this.#view.update(name, progress);
    });
  }

  warn(text: string): void {
    const { stderr } = this.#cli;
    this.#write(stderr, `${styleText('yellow', 'warning:', { stream: stderr })} ${printable(text)}\n`);
  }

  note(text: string): void {
    this.#write(this.#cli.stderr, `${printable(text)}\n`);
  }

  async close(): Promise<void> {
    this.#enqueue(() => this.#view?.close());
    await this.#queue;
  }

  #write(stream: NodeJS.WriteStream, text: string): void {
    this.#enqueue(() => this.#print(stream, text));
  }

  /** In its turn only. */
  #print(stream: NodeJS.WriteStream, text: string): void {
    if (this.#view) this.#view.print(stream, text);
    else stream.write(text);
  }

  #enqueue(task: () => void | Promise<void>): void {
    this.#queue = this.#queue.then(task);
  }

  #colorOf(prefix: string): (typeof colors)[number] {
    const color = this.#colors.get(prefix) ?? colors[this.#colors.size % colors.length]!;
    this.#colors.set(prefix, color);
    return color;
  }
}

function exitCodeOf(statuses: readonly PodStatus[]): number {
  const failed = statuses.filter(({ phase }) => phase !== 'Succeeded');
  const codes = failed.flatMap(({ initContainerStatuses, containerStatuses }) =>
    // Of init containers the last one that ran is the one that failed.
    [...containerStatuses, ...initContainerStatuses.toReversed()].map(({ state }) => state.terminated?.exitCode ?? 0),
  );
  return codes.find((code) => code !== 0) ?? 0;
}

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  });
}

function keyOf(uid: string, fieldPath: string | undefined): string {
  return `${uid} ${fieldPath ?? ''}`;
}
