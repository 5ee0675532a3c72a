import { setTimeout as delay } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import {
  Agent,
  type ContainerOutput,
  type ImageDecision,
  type KubeEvent,
  type Pod,
  type PodWorker,
  parsePodManifests,
} from '../../src/agent/index.ts';
import { FakeCri } from '../support/fake-cri.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const settleLimitMs = 20_000;

/** An agent over a fake runtime on a virtual clock, with everything that it says. */
export class AgentHarness {
  readonly clock = new VirtualClock();
  readonly cri = new FakeCri(this.clock);
  readonly events: KubeEvent[] = [];
  readonly output: ContainerOutput[] = [];
  readonly decisions: ImageDecision[] = [];
  readonly startMs = this.clock.now();
  readonly agent: Agent;
  /** How many sleep when everything is at rest: each worker that is not done, and the watch while it has no events. */
  #busy = 0;

  constructor(logRoot: string) {
    this.agent = new Agent({
      images: this.cri,
      runtime: this.cri,
      logRoot,
      clock: this.clock,
      onEvent: (event) => this.events.push(event),
      onOutput: (output) => this.output.push(output),
      onDecision: (decision) => this.decisions.push(decision),
    });
    this.clock.settle = () => this.#atRest();
  }

  static async create(): Promise<AgentHarness> {
    const harness = new AgentHarness(await temporaryFolder());
    onTestFinished(() => harness.agent.stop({ gracePeriodSeconds: 0 }));
    return harness;
  }

  start(pod: Pod): PodWorker {
    const worker = this.agent.startPod(pod);
    this.#busy += 1;
    void worker.finished.then(() => {
      this.#busy -= 1;
    });
    return worker;
  }

  /** `reason message` of the events, of one container or of all. */
  said(container?: string): string[] {
    return this.events
      .filter(({ object }) => container === undefined || object.fieldPath === `spec.containers{${container}}`)
      .map(({ reason, message }) => `${reason} ${message}`);
  }

  /** Seconds since the start at which events of a reason happened. */
  times(reason: string): number[] {
    return this.events.filter((event) => event.reason === reason).map(({ atMs }) => (atMs - this.startMs) / 1000);
  }

  /** The workers do real I/O (log folders), so rest is when each of them sleeps on the clock. */
  async #atRest(): Promise<void> {
    const deadline = performance.now() + settleLimitMs;
    do {
      await delay(1);
      if (performance.now() > deadline) throw new Error(`${this.clock.sleepers} of ${this.#expected()} came to rest`);
    } while (this.clock.sleepers !== this.#expected());
  }

  #expected(): number {
    return this.#busy + (this.cri.hasEvents ? 0 : 1);
  }
}

/** A pod of containers given as the lines of their YAML. */
export function podOf(
  containers: readonly Record<string, unknown>[],
  spec: Record<string, unknown> = {},
  name = 'web',
): Pod {
  const manifest = { apiVersion: 'v1', kind: 'Pod', metadata: { name }, spec: { ...spec, containers } };
  return parsePodManifests(JSON.stringify(manifest), { file: 'pod.json' })[0]!;
}
