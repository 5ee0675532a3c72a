/** Restarts under `Always` on a warm node: what each costs at the registry, in memory and on disk. */
import { lstat, readdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { Agent, type AgentOptions, type ImageDecision } from '../../src/agent/index.ts';
import { type Node, openNode } from '../../src/cli/node.ts';
import { EngineRuntimeService } from '../../src/engine/index.ts';
import type { Clock } from '../../src/lib/clock.ts';
import { defaultKubeletConfig } from '../../src/policy/index.ts';
import { selectRuntime } from '../../src/runtime/index.ts';
import { podOf } from '../agent/support.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { type PushedImage, pushBusyboxImage } from '../support/busybox-image.ts';
import { type DockerRegistry, dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { FakeCri } from '../support/fake-cri.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { rootMissing } from '../support/root.ts';
import { whyNot } from '../support/runtimes.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { VirtualClock } from '../support/virtual-clock.ts';

const missing = rootMissing ?? dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');
const noContainers = missing ?? (await whyNot('embedded'));

let registry: DockerRegistry;
let image: PushedImage;
beforeAll(async () => {
  if (missing) return;
  registry = await startDockerRegistry();
  image = await pushBusyboxImage(registry.address, 'app:1', { version: 'one' });
});
afterAll(() => registry?.close());

/** Restarts that follow each other closely. */
const config = { ...defaultKubeletConfig(), crashLoopBackOffMaxMs: 1000, registryPullQPS: 0 };

describe.skipIf(missing)(`with containers that end at once${missing ? ` (skipped: ${missing})` : ''}`, () => {
  test('1,000 restarts: exactly one HEAD each, no bytes, no growth of memory or store', async () => {
    const node = await openTestNode();
    const clock = new VirtualClock();
    const cri = new FakeCri(clock);
    cri.behaviour = () => ({ exitAfterMs: 0 });
    const failures: ImageDecision[] = [];
    let started = 0;
    const agent = await agentOn(node, {
      runtime: cri,
      clock,
      onDecision: (decision) => {
        started += 1;
        if (decision.error !== undefined) failures.push(decision);
      },
      onEvent: (event) => node.store.events.record(event),
    });
    clock.settle = async () => {
      do await delay(1);
      while (clock.sleepers !== 1);
    };
    agent.startPod(podOf([{ name: 'main', image: image.name, imagePullPolicy: 'Always' }]));
    const restart = async (times: number) => {
      const until = started + times;
      while (started < until) await clock.advance(1000);
      cri.calls.length = 0;
      return { heap: usedHeap(), bytes: await bytesBelow(node.store.root) };
    };
    await restart(50);
    const before = (await requests()).length;
    const startedBefore = started;
    const half = await restart(500);
    const end = await restart(500);
    const asked = (await requests()).slice(before);
    expect(started - startedBefore).toBe(1000);
    expect(failures).toEqual([]);
    expect(asked).toEqual(Array.from({ length: 1000 }, () => 'HEAD /v2/app/manifests/1'));
    // It was 0.28 MB, which is this test's own list of requests: a comparison of the heaps shows nothing else that grows.
    expect(end.heap - half.heap).toBeLessThan(600_000);
    expect(end.bytes - half.bytes).toBeLessThan(20_000);
  });
});

describe.skipIf(noContainers)(`with real containers${noContainers ? ` (skipped: ${noContainers})` : ''}`, () => {
  test('50 restarts: exactly one HEAD each', async () => {
    const node = await openTestNode();
    const stateDir = path.join(node.store.root, 'runtime');
    const { runtime } = await selectRuntime({ stateDir, prefer: 'embedded' });
    const { store, registry: client, unpack } = node;
    const service = new EngineRuntimeService({ store, registry: client, unpack, runtime, version: '0' });
    onTestFinished(() => service.close());
    const before = (await requests()).length;
    const decisions: ImageDecision[] = [];
    const enough = Promise.withResolvers<void>();
    const agent = await agentOn(node, {
      runtime: service,
      clock: new HurryingClock(),
      onDecision: (decision) => {
        decisions.push(decision);
        if (decisions.length === 51) enough.resolve();
      },
    });
    const container = { name: 'main', image: image.name, imagePullPolicy: 'Always', command: ['/bin/true'] };
    const worker = agent.startPod(podOf([container]));
    await enough.promise;
    await agent.stop({ gracePeriodSeconds: 0 });
    expect(worker.status().containerStatuses[0]!.restartCount).toBeGreaterThanOrEqual(49);
    expect(decisions.filter(({ imageRef }) => imageRef !== image.config)).toEqual([]);
    const heads = (await requests()).slice(before).filter((request) => request.startsWith('HEAD'));
    expect(heads).toHaveLength(decisions.length);
  });
});

async function openTestNode(): Promise<Node> {
  const node = await openNode({ root: path.join(await temporaryFolder(), 'node') });
  onTestFinished(() => node.close());
  return node;
}

async function agentOn(node: Node, options: Omit<AgentOptions, 'images' | 'logRoot'>): Promise<Agent> {
  const agent = new Agent({
    images: node.images,
    logRoot: await temporaryFolder(),
    recordsDirectory: node.store.root,
    config,
    ...options,
  });
  onTestFinished(() => agent.stop({ gracePeriodSeconds: 0 }));
  return agent;
}

const requests = async () => (await registry.requests()).map(({ method, path: at }) => `${method} ${at}`);

/** Time passes while somebody waits for it, and then at once: no delay between restarts is ever running. */
class HurryingClock implements Clock {
  #aheadMs = 0;

  now(): number {
    return Date.now() + this.#aheadMs;
  }

  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    await delay(Math.min(ms, 25), undefined, { signal });
    this.#aheadMs += ms;
  }
}

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

function usedHeap(): number {
  collectGarbage();
  return process.memoryUsage().heapUsed;
}

/** Of all files, the log of the database left out: it is emptied when it is full. */
async function bytesBelow(folder: string): Promise<number> {
  const files = await readdir(folder, { recursive: true });
  const sizes = files.map(async (file) => (file.endsWith('-wal') ? 0 : (await lstat(path.join(folder, file))).size));
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
