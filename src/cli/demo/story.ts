/** The story that the demo tells: one repository whose tag moves, two nodes, three policies. Every step is real. */
import { join } from 'node:path';
import { startRegistry } from '../../distribution/index.ts';
import { parseReference } from '../../oci/index.ts';
import { RegistryClient } from '../../registry/index.ts';
import type { ContainerRuntime } from '../../runtime/index.ts';
import { buildDemoImage, pushDemoImage } from '../demo-images/index.ts';
import { DemoNode, type DemoPod, type Start } from './demo-node.ts';

export interface Step {
  readonly title: string;
  /** What happens and what to look at. */
  readonly text: string;
  readonly act: () => Promise<readonly Start[]>;
}

/** The parts that the story is told with, and their end. */
export interface Stage {
  readonly address: string;
  readonly steps: readonly Step[];
  /** One for each policy, all with the tag that moves. */
  readonly pods: readonly DemoPod[];
  close(): Promise<void>;
}

const repository = 'img1';
const policies = ['IfNotPresent', 'Never', 'Always'] as const;

/**
 * Starts the registry and both nodes below `folder` and brings them to where the story begins: `worker-2` ran `latest`
 * when that still meant 1.0.0, `worker-1` has nothing.
 */
export async function setStage(folder: string, runtime: ContainerRuntime | undefined): Promise<Stage> {
  await using parts = new AsyncDisposableStack();
  const registryRoot = join(folder, 'registry');
  let registry = await startRegistry({ root: registryRoot });
  parts.defer(() => registry.close());
  const { address, port } = registry;
  const publisher = new RegistryClient();
  parts.defer(() => publisher.close());
  const name = `${address}/${repository}`;
  const digests = new Map<string, string>();
  const push = async (version: string, ...tags: string[]) => {
    const image = buildDemoImage({ name: repository, version });
    digests.set(version, image.digest);
    for (const tag of tags) await pushDemoImage(publisher, parseReference(`${name}:${tag}`), image);
  };
  await push('1.0.0', '1.0.0', 'latest');
  const openWorker = async (worker: string) => {
    const node = await DemoNode.open(worker, join(folder, worker), runtime);
    parts.defer(() => node.close());
    return node;
  };
  const worker1 = await openWorker('worker-1');
  const worker2 = await openWorker('worker-2');
  await worker2.pull(`${name}:latest`);
  await push('1.1.0', '1.1.0', 'latest');

  const latest = (policy: (typeof policies)[number]): DemoPod => ({
    name: podName(policy),
    image: `${name}:latest`,
    policy,
  });
  const moveTo = async (from: DemoNode, to: DemoNode) => {
    for (const pod of from.pods) await from.delete(pod);
    return inTurn(policies, (policy) => to.start(latest(policy)));
  };
  const steps: Step[] = [
    {
      title: 'First start on worker-1, which has no image yet',
      text: `In the registry ${repository}:latest is 1.1.0. "Local" means this node: Never starts only what the node has, so it is
refused until another pod has brought the image here. Always asks the registry and downloads; IfNotPresent then
finds the image and asks nobody.`,
      act: async () => {
        const refused = await worker1.start(latest('Never'));
        await worker1.delete(podName('Never'));
        return [
          refused,
          ...(await inTurn(['Always', 'IfNotPresent', 'Never'] as const, (p) => worker1.start(latest(p)))),
        ];
      },
    },
    {
      title: 'The tag latest moves to 1.2.0 in the registry, and the containers restart',
      text: `The policy is evaluated again at every restart. IfNotPresent and Never run what this node has under the tag. Always asks
for the tag's digest, sees a new one, and downloads the one layer that the node lacks.`,
      act: async () => {
        await push('1.2.0', '1.2.0', 'latest');
        return inTurn(policies, (policy) => worker1.restart(podName(policy)));
      },
    },
    {
      title: 'The same pods move to worker-2, which still has an older latest',
      text: `worker-2 pulled latest when it was 1.0.0. The same manifests now run other code than on worker-1: IfNotPresent and Never
go back to 1.0.0. Only Always runs what the registry says.`,
      act: () => moveTo(worker1, worker2),
    },
    {
      title: 'The registry is stopped, and the containers restart',
      text: `Always cannot ask, so its container does not start again, although its image is on the node. The others do not notice the
outage. But look at what they run now: Always has moved the tag on this node, so their restart brought new code.`,
      act: async () => {
        await registry.close();
        return inTurn(policies, (policy) => worker2.restart(podName(policy)));
      },
    },
    {
      title: 'The registry is back: a name with no tag, another tag, and a digest',
      text: `No policy is written in these pods. No tag means :latest, and :latest means Always. Any other tag means IfNotPresent, and
so does a digest, which is the only name that means the same bytes everywhere and for ever.`,
      act: async () => {
        registry = await startRegistry({ root: registryRoot, port });
        for (const pod of worker2.pods) await worker2.delete(pod);
        const pods: DemoPod[] = [
          { name: 'no-tag', image: name },
          { name: 'tag-1.1.0', image: `${name}:1.1.0` },
          { name: 'digest-1.0.0', image: `${name}@${digests.get('1.0.0')}` },
        ];
        return [
          ...(await inTurn(pods, (pod) => worker1.start(pod))),
          ...(await inTurn(pods, (pod) => worker2.start(pod))),
        ];
      },
    },
  ];
  const all = parts.move();
  return { address, steps, pods: policies.map(latest), close: () => all.disposeAsync() };
}

export const answer = `What is "local"? The node: not the pod, not the cluster. Each node has its own images, and under a tag each has what
the tag meant when that node last pulled it.

How do Always and IfNotPresent differ? Always asks the registry which digest the tag means at every start and every
restart, and downloads only what the node lacks: often nothing, one request. It needs the registry to be there.
IfNotPresent asks only when the node has nothing under the name: it starts without a registry, and runs whatever this
node has under the tag, however old. A digest in place of a tag gives the same bytes under every policy.`;

function podName(policy: string): string {
  return { Always: 'always', IfNotPresent: 'if-not-present', Never: 'never' }[policy]!;
}

async function inTurn<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await act(item));
  return results;
}
