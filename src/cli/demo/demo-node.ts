/** One node of the demo: a real node in a folder of its own, whose pods, requests and bytes are counted. */
import { type ImageDecision, type KubeEvent, type Pod, type PodWorker, parsePodManifests } from '../../agent/index.ts';
import { LadingError } from '../../lib/errors.ts';
import type { PullPolicy } from '../../policy/index.ts';
import type { ContainerRuntime } from '../../runtime/index.ts';
import { type Node, openNode, type PodNode, startAgent } from '../node.ts';
import { runningDigest } from '../running-digest.ts';
import { noContainers } from './no-containers.ts';

export interface DemoPod {
  readonly name: string;
  readonly image: string;
  /** Absent: Kubernetes' default for the image decides. */
  readonly policy?: PullPolicy;
}

/** What one start of a container did: a line of the tables. */
export interface Start {
  readonly node: string;
  readonly pod: string;
  readonly policy: PullPolicy;
  readonly decision: string;
  /** Of the manifest that runs; undefined when nothing does. */
  readonly digest: string | undefined;
  readonly requests: number;
  readonly bytes: number;
  /** The container's own first line, or why there is none. */
  readonly printed: string;
}

interface Traffic {
  requests: number;
  bytes: number;
}

interface PendingStart {
  decision?: ImageDecision;
  /** Its first line, which may come before the runtime says that it runs. */
  printed?: string;
  isStarted?: true;
  readonly ended: (end: { decision: ImageDecision; printed: string }) => void;
}

const containerName = 'main';
const startTimeoutMs = 20_000;

export class DemoNode {
  readonly name: string;
  readonly root: string;
  readonly #node: Node;
  readonly #traffic: Traffic;
  readonly #runs: boolean;
  readonly #workers = new Map<string, PodWorker>();
  readonly #pending = new Map<string, PendingStart>();
  #pods: PodNode | undefined;

  private constructor(name: string, root: string, node: Node, { traffic, runs }: { traffic: Traffic; runs: boolean }) {
    this.name = name;
    this.root = root;
    this.#node = node;
    this.#traffic = traffic;
    this.#runs = runs;
  }

  /** @param runtime undefined where containers cannot run: then every start ends before the container's process */
  static async open(name: string, root: string, runtime: ContainerRuntime | undefined): Promise<DemoNode> {
    const traffic: Traffic = { requests: 0, bytes: 0 };
    const onRequest = ({ bytes }: { bytes: number }) => {
      traffic.requests += 1;
      traffic.bytes += bytes;
    };
    const node = await openNode({ root, store: { unpacks: runtime !== undefined }, registry: { onRequest } });
    const demoNode = new DemoNode(name, root, node, { traffic, runs: runtime !== undefined });
    try {
      demoNode.#pods = await startAgent(node, runtime ?? noContainers, {
        onDecision: (decision) => demoNode.#decided(decision),
        onOutput: ({ pod, line }) => demoNode.#printed(pod, line),
        onEvent: (event) => demoNode.#happened(event),
      });
      return demoNode;
    } catch (error) {
      await node.close();
      throw error;
    }
  }

  get pods(): readonly string[] {
    return [...this.#workers.keys()];
  }

  async start(pod: DemoPod): Promise<Start> {
    const [parsed] = parsePodManifests(JSON.stringify(manifestOf(pod)), { file: `${pod.name}.yaml` });
    return this.#measure(pod.name, parsed!.metadata.uid, async () => {
      this.#workers.set(pod.name, this.#pods!.agent.startPod(parsed!));
    });
  }

  /** The container's process ends, and its restart policy starts it again. */
  async restart(podName: string): Promise<Start> {
    const worker = this.#workers.get(podName)!;
    const { uid } = worker.pod.metadata;
    if (this.#runs) return this.#measure(podName, uid, () => worker.restartContainer(containerName));
    await this.delete(podName);
    return this.#measure(podName, uid, async () => {
      this.#workers.set(podName, this.#pods!.agent.startPod(worker.pod));
    });
  }

  async delete(podName: string): Promise<void> {
    const worker = this.#workers.get(podName)!;
    this.#workers.delete(podName);
    await this.#pods!.agent.stopPod(worker.pod.metadata.uid);
  }

  async pull(image: string): Promise<void> {
    await this.#node.images.pullImage({ image: { image } });
  }

  async close(): Promise<void> {
    await this.#pods?.close();
    await this.#node.close();
  }

  async #measure(podName: string, uid: string, act: () => Promise<void>): Promise<Start> {
    const before = { ...this.#traffic };
    let timer: NodeJS.Timeout | undefined;
    const end = new Promise<{ decision: ImageDecision; printed: string }>((ended, failed) => {
      this.#pending.set(uid, { ended });
      timer = setTimeout(() => {
        failed(new LadingError('ERR_LADING_DEMO_TIMEOUT', `pod ${podName} on ${this.name} printed nothing in time`));
      }, startTimeoutMs);
    });
    try {
      await act();
      const { decision, printed } = await end;
      const requests = this.#traffic.requests - before.requests;
      const bytes = this.#traffic.bytes - before.bytes;
      return {
        node: this.name,
        pod: podName,
        policy: decision.policy,
        decision: decisionText(decision, { requests, bytes }),
        digest:
          decision.error === undefined
            ? await runningDigest(this.#node.images, decision.imageRef!, decision.image)
            : undefined,
        requests,
        bytes,
        printed,
      };
    } finally {
      clearTimeout(timer);
      this.#pending.delete(uid);
    }
  }

  #decided(decision: ImageDecision): void {
    const pending = this.#pending.get(decision.pod.metadata.uid);
    if (!pending) return;
    pending.decision = decision;
    if (decision.error !== undefined) pending.ended({ decision, printed: `nothing: ${decision.error}` });
    else if (!this.#runs) pending.ended({ decision, printed: 'nothing: not started' });
  }

  #printed(pod: Pod, line: string): void {
    const pending = this.#pending.get(pod.metadata.uid);
    if (!pending?.decision) return;
    pending.printed ??= line;
    this.#endOf(pending);
  }

  #happened({ type, reason, message, object }: KubeEvent): void {
    const pending = this.#pending.get(object.uid);
    if (!pending?.decision || pending.decision.error !== undefined) return;
    if (reason === 'Started') {
      pending.isStarted = true;
      this.#endOf(pending);
    } else if (type === 'Warning' && reason === 'Failed') {
      // It could not be created or started in spite of its image.
      pending.ended({ decision: pending.decision, printed: `nothing: ${message}` });
    }
  }

  #endOf({ decision, printed, isStarted, ended }: PendingStart): void {
    if (decision && printed !== undefined && isStarted) ended({ decision, printed });
  }
}

function decisionText({ decision, error, present }: ImageDecision, { bytes }: Traffic): string {
  if (decision === 'refuse') return 'not on the node: refused';
  if (decision === 'use-local') return 'on the node: not asked';
  const asked = present === false ? 'not on the node: asked' : 'asked';
  if (error !== undefined) return `${asked}, no answer`;
  return bytes > 0 ? `${asked}, downloaded` : `${asked}, had it all`;
}

/** A Kubernetes manifest. */
export function manifestOf({ name, image, policy }: DemoPod): object {
  const container = { name: containerName, image, ...(policy ? { imagePullPolicy: policy } : {}) };
  const spec = { terminationGracePeriodSeconds: 2, containers: [container] };
  return { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec };
}
