/** Random sequences of what happens to a node, against a small model of the rules: the real engine, real registries. */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type VerificationPolicyName, verificationPolicies } from '../../src/policy/index.ts';
import { UnpackPool } from '../../src/unpack/index.ts';
import { type TestImage, tarOf, testImage } from '../pull/support/test-image.ts';
import { VirtualClock } from '../support/virtual-clock.ts';
import { Model, type ModelImage, type ModelRepository, type ModelSecret, nameOf } from './image-rules/model.ts';
import { TestNode } from './image-rules/node.ts';
import { SwitchedRegistry } from './image-rules/registry.ts';

/** `LADING_PROPERTY_RUNS=2000` looks for longer, `LADING_PROPERTY_SEED=…` runs what a failure has named again. */
const runs = Number(process.env.LADING_PROPERTY_RUNS ?? 25);
const seed = process.env.LADING_PROPERTY_SEED;

const base = tarOf({ base: 'base' });
const images = ['a', 'b', 'c'].map((name) => testImage({ layers: [base, tarOf({ name })] }));
const goodUsers = ['alice', 'bob'];
const tags = ['1', '2'];

let folder: string;
let unpack: UnpackPool;
let open: SwitchedRegistry;
let guarded: SwitchedRegistry;
/** What a property that is out of time leaves behind goes on. */
let running: Promise<void> | undefined;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lading-image-rules-'));
  unpack = new UnpackPool({ workers: 1 });
  const registries = ['open', 'guarded'].map((name) => path.join(folder, name));
  for (const registry of registries) await mkdir(registry);
  open = new SwitchedRegistry(registries[0]!);
  guarded = new SwitchedRegistry(registries[1]!, goodUsers);
  await open.start();
  await guarded.start();
});
afterAll(async () => {
  await running?.catch(() => {});
  await open.stop();
  await guarded.stop();
  await unpack.close();
  await rm(folder, { recursive: true, force: true });
});

type Action =
  | { do: 'start'; pod: string; from: 0 | 1; tag: string; policy: string; secrets: readonly ModelSecret[] }
  | { do: 'move tag' | 'preload' | 'crash after pull'; from: 0 | 1; tag: string; image: number }
  | { do: 'start again'; afterMs: number }
  | { do: 'stop'; pod: string }
  | { do: 'wait'; ms: number }
  | { do: 'registries'; up: boolean }
  | { do: 'restart kubelet' | 'collect images' };

// Few of each, so that what happens has to do with what has happened.
const pod = fc.constantFrom('pod-a', 'pod-b');
const from = fc.constantFrom(0 as const, 1 as const, 1 as const);
const tag = fc.constantFrom('1', '1', '1', '2', 'none');
const secret = fc.record({
  uid: fc.constantFrom('s1', 's2'),
  user: fc.constantFrom('alice', 'alice', 'bob', 'mallory'),
});
const image = fc.nat(images.length - 1);
const start = fc.record({
  do: fc.constant('start' as const),
  pod,
  from,
  tag,
  policy: fc.constantFrom('Always', 'IfNotPresent', 'IfNotPresent', 'Never'),
  secrets: fc.uniqueArray(secret, { maxLength: 2, selector: ({ uid }) => uid }),
});
const often: readonly [weight: number, action: fc.Arbitrary<Action>][] = [
  [8, start],
  [
    6,
    fc.record({ do: fc.constant('start again' as const), afterMs: fc.constantFrom(0, 1000, 10_000, 20_000, 40_000) }),
  ],
  [2, fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(90_000, 130_000, 700_000) })],
  [1, fc.record({ do: fc.constant('move tag' as const), from, tag: fc.constantFrom(...tags), image })],
  [1, fc.record({ do: fc.constant('registries' as const), up: fc.constantFrom(true, true, false) })],
  [1, fc.record({ do: fc.constantFrom('preload' as const, 'crash after pull' as const), from, tag, image })],
  [2, fc.record({ do: fc.constant('stop' as const), pod })],
  [1, fc.record({ do: fc.constant('restart kubelet' as const) })],
  [2, fc.record({ do: fc.constant('collect images' as const) })],
];
const action = fc.oneof(...often.map(([weight, arbitrary]) => ({ weight, arbitrary })));

test('the digest that runs, the requests and the events are those of the rules', async () => {
  const property = fc.asyncProperty(
    fc.constantFrom<VerificationPolicyName>(...verificationPolicies),
    fc.array(action, { minLength: 60, maxLength: 120, size: 'max' }),
    (...sequence) => {
      running = runSequence(...sequence);
      return running;
    },
  );
  await fc.assert(property, {
    numRuns: runs,
    ...(seed !== undefined && { seed: Number(seed) }),
    endOnFailure: false,
    interruptAfterTimeLimit: process.env.LADING_PROPERTY_RUNS ? 3_600_000 : 20_000,
  });
}, 3_600_000);

async function runSequence(policy: VerificationPolicyName, actions: readonly Action[]): Promise<void> {
  const root = await mkdtemp(path.join(folder, 'run-'));
  const clock = new VirtualClock();
  await setRegistries(true);
  const repositories = [repositoryAt(open, false), repositoryAt(guarded, true)] as const;
  for (const [index, { tags: meanings }] of repositories.entries()) {
    for (const tag of tags) await moveTag(meanings, { from: index as 0 | 1, tag, image: 0 });
  }
  take();
  const model = new Model({ nowMs: clock.now(), goodUsers, policy });
  const node = await TestNode.open(root, { clock, policy, unpack });
  try {
    let last: Extract<Action, { do: 'start' }> | undefined;
    for (const [step, given] of actions.entries()) {
      let each = given;
      if (each.do === 'start again') {
        await clock.advance(each.afterMs);
        model.nowMs = clock.now();
        if (!last) continue;
        each = last;
      }
      if (each.do === 'start') last = each;
      await runAction(each, { node, model, clock, repositories }, `step ${step + 1}: ${JSON.stringify(each)}`);
      await clock.advance(1);
      model.nowMs = clock.now();
    }
  } finally {
    await node.close();
    await rm(root, { recursive: true, force: true });
  }
}

interface World {
  readonly node: TestNode;
  readonly model: Model;
  readonly clock: VirtualClock;
  readonly repositories: readonly [ModelRepository, ModelRepository];
}

async function runAction(
  each: Exclude<Action, { do: 'start again' }>,
  { node, model, clock, repositories }: World,
  about: string,
): Promise<void> {
  switch (each.do) {
    case 'start': {
      const asked = { ...each, repository: repositories[each.from] };
      const { messageStart, ...expected } = model.evaluate(asked);
      const { message, ...found } = await node.evaluate(asked);
      expect({ ...found, requests: take() }, about).toEqual(expected);
      expect(message.startsWith(messageStart), `${about}: ${message}`).toBe(true);
      return;
    }
    case 'move tag':
      // One that is down is moved at once when it is up again.
      await setRegistries(true);
      await moveTag(repositories[each.from].tags, each);
      await setRegistries(model.registryUp);
      break;
    case 'preload':
    case 'crash after pull': {
      const repository = repositories[each.from];
      const name = nameOf({ repository, tag: each.tag });
      const user = repository.isPrivate ? goodUsers[0] : undefined;
      const crashes = each.do === 'crash after pull';
      const expected = crashes ? model.crashAfterPull(repository, each.tag) : model.preload(repository, each.tag);
      expect(await (crashes ? node.crashAfterPull(name, user) : node.preload(name, user)), about).toBe(expected);
      break;
    }
    case 'stop':
      model.stop(each.pod);
      break;
    case 'wait':
      await clock.advance(each.ms);
      break;
    case 'registries':
      model.registryUp = each.up;
      await setRegistries(each.up);
      break;
    case 'restart kubelet':
      model.restart();
      await node.restart();
      break;
    case 'collect images': {
      const running = model.running();
      expect(await node.collect(running), about).toEqual(model.collect());
      break;
    }
  }
  take();
}

function repositoryAt(registry: SwitchedRegistry, isPrivate: boolean): ModelRepository {
  return { name: `${registry.address}/team/app`, isPrivate, tags: new Map() };
}

async function moveTag(
  meanings: Map<string, ModelImage>,
  { from, tag, image: index }: { from: 0 | 1; tag: string; image: number },
): Promise<void> {
  const meaning = images[index] as TestImage;
  await [open, guarded][from]!.push('team/app', tag, meaning);
  const { config, manifest, layers } = meaning;
  const blobs = [config, ...layers].map(({ digest }) => digest);
  meanings.set(tag, { config: config.digest, manifest: manifest.digest, blobs });
}

async function setRegistries(up: boolean): Promise<void> {
  for (const registry of [open, guarded]) await (up ? registry.start() : registry.stop());
}

function take(): string[] {
  return [...open.take(), ...guarded.take()].sort();
}
