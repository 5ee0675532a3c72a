// Decisions per second in one thread, and what a warm check of `Always` costs on a running node.
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { EventRecorder, ImageManager, PullRecords, PullTracker } from '../src/agent/index.ts';
import { buildDemoImage, pushDemoImage } from '../src/cli/demo-images/index.ts';
import { type Node, openNode } from '../src/cli/node.ts';
import { startRegistry } from '../src/distribution/index.ts';
import { systemClock } from '../src/lib/clock.ts';
import { parseReference } from '../src/oci/index.ts';
import {
  Backoff,
  decidePull,
  imagePullBackOff,
  imagePullKey,
  runtimeImage,
  verificationPolicy,
} from '../src/policy/index.ts';
import { podOf } from './policy/pod.ts';
import { RawConnection } from './registry/raw-client.ts';
import { removeFolder, scratchFolder } from './shared/scratch-folder.ts';

export const summary = 'decisions per second; warm checks of Always';
export const usage = '';

/** Short ones, of which the best counts: what else the machine does is not what is measured. */
const rounds = 30;

export async function run(args: readonly string[]): Promise<void> {
  parseArgs({ args: [...args], options: {} });
  console.log('decisions per second, one thread (goal: over 1,000,000)');
  for (const [name, rate] of decisionRates())
    console.log(`  ${name.padEnd(44)} ${Math.round(rate).toLocaleString('en')}`);
  await warmChecks();
}

/** The best of the rounds, of each kind. */
function decisionRates(): [name: string, rate: number][] {
  const policies = ['Always', 'IfNotPresent', 'Never'] as const;
  const facts = policies.flatMap((policy) =>
    [true, false].flatMap((present) =>
      [true, false].flatMap((verified) => [true, false].map((inBackOff) => ({ policy, present, verified, inBackOff }))),
    ),
  );
  const images = ['nginx', 'ghcr.io/org/app:1.2', 'localhost:5000/a/b@sha256:'.padEnd(90, '0')];
  const backOff = new Backoff(imagePullBackOff);
  for (const image of images) backOff.next(imagePullKey('uid', image), 0);
  return [
    ['decidePull', rateOf(200_000, (index) => decidePull(facts[index % facts.length]!).reasons.length)],
    [
      'with the name read and the back-off looked up',
      rateOf(50_000, (index) => {
        const image = images[index % images.length]!;
        const inBackOff = backOff.isInBackOffSinceUpdate(imagePullKey('uid', image), index);
        return runtimeImage(image).length + decidePull({ ...facts[index % facts.length]!, inBackOff }).reasons.length;
      }),
    ],
  ];
}

function rateOf(times: number, decide: (index: number) => number): number {
  let best = 0;
  let sum = 0;
  for (let round = 0; round < rounds; round++) {
    const startMs = performance.now();
    for (let index = 0; index < times; index++) sum += decide(index);
    best = Math.max(best, (times / (performance.now() - startMs)) * 1000);
  }
  if (sum === 0) throw new Error('nothing was decided');
  return best;
}

/** One HEAD by a client that does nothing else and one evaluation, in turns, so that both see the same machine. */
async function warmChecks(): Promise<void> {
  const folder = scratchFolder(tmpdir());
  const registry = await startRegistry({ root: path.join(folder, 'registry') });
  const node = await openNode({ root: path.join(folder, 'node') });
  const raw = await RawConnection.open(registry.port);
  try {
    const image = `${registry.address}/app:1`;
    await pushDemoImage(node.registry, parseReference(image), buildDemoImage({ name: 'app', version: '1' }));
    const evaluate = await evaluationOf(node, image);
    const head = () => raw.request({ method: 'HEAD', path: '/v2/app/manifests/1' });
    const [own, bare]: [number[], number[]] = [[], []];
    for (let index = 0; index < 2200; index++) {
      const times = [await timeOf(head), await timeOf(evaluate)] as const;
      if (index < 200) continue;
      bare.push(times[0]);
      own.push(times[1]);
    }
    console.log('\nwarm check of Always, milliseconds        median    p95');
    console.log(`  the registry's answer to HEAD           ${quantiles(bare)}`);
    console.log(`  the whole evaluation                    ${quantiles(own)}`);
    const more = quantile(own, 0.5) - quantile(bare, 0.5);
    console.log(`  more than the registry's own            ${more.toFixed(3).padStart(6)}        (goal: 2 at most)`);
  } finally {
    raw.close();
    await node.close();
    await registry.close();
    removeFolder(folder);
  }
}

/** As an agent does it: with records of pulls, and with events that go nowhere. */
async function evaluationOf({ images, store }: Node, image: string): Promise<() => Promise<void>> {
  const clock = systemClock;
  const policy = verificationPolicy('NeverVerifyPreloadedImages');
  const tracking = new PullTracker({ records: new PullRecords(store.root), policy, clock });
  await tracking.start([]);
  const events = new EventRecorder(clock.now, () => {});
  const manager = new ImageManager({ images, clock, events }, { tracking, pullsPerSecond: 0 });
  const pod = podOf(image);
  return async () => {
    const { error } = await manager.ensureImageExists(pod, { image, policy: 'Always', fieldPath: undefined });
    if (error !== undefined) throw new Error(error);
  };
}

async function timeOf(work: () => Promise<unknown>): Promise<number> {
  const startMs = performance.now();
  await work();
  return performance.now() - startMs;
}

function quantiles(times: readonly number[]): string {
  return [0.5, 0.95].map((share) => quantile(times, share).toFixed(3).padStart(6)).join('  ');
}

function quantile(times: readonly number[], share: number): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length * share)]!;
}
