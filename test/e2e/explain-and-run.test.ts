/** What `lading explain` says under each pull policy is what `lading run` with that policy then does. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ExplainedContainer } from '../../src/cli/explain/explain-subject.ts';
import type { Digest } from '../../src/oci/index.ts';
import type { PolicyOutcome } from '../../src/policy/index.ts';
import { busyboxMissing } from '../support/busybox.ts';
import { dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { runLading } from '../support/lading-process.ts';
import { leftoversOf } from '../support/leftovers.ts';
import { describeTree } from '../support/tree.ts';
import { situations } from './support/situations.ts';
import { copyOfNode, ingestBytes, runPod, Stage } from './support/stage.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');

describe.skipIf(missing)(`lading explain and lading run agree${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let stage: Stage;
  /** A node without images that knows which runtime works. */
  let seed: string;
  beforeAll(async () => {
    stage = new Stage(await startDockerRegistry());
    seed = await mkdtemp(path.join(tmpdir(), 'lading-e2e-explain-'));
    await runPod(seed, { image: 'absent', imagePullPolicy: 'Never' });
  });
  afterAll(async () => {
    await rm(seed, { recursive: true, force: true });
    await stage?.registry.close();
  });

  for (const [index, { what, outcomes: expected, registry, arrange }] of situations.entries()) {
    test(`${what}: ${expected.join(', ')}`, async () => {
      const root = await copyOfNode(seed);
      const repository = `app${index}`;
      const image = await arrange(stage, { root, repository, name: `${stage.registry.address}/${repository}` });
      if (registry === 'stopped') await stage.registry.stop();
      try {
        const before = describeNode(root);
        const { exitCode, stdout } = await runLading(['--root', root, 'explain', '-o', 'json', image]);
        expect(describeNode(root), 'what explain changed').toEqual(before);

        const [item] = (JSON.parse(stdout) as { items: ExplainedContainer[] }).items;
        const { outcomes, outcome } = item!;
        expect(exitCode).toBe(outcome.starts ? 0 : 1);
        expect(outcomes.map(({ policy }) => policy)).toEqual(['Always', 'IfNotPresent', 'Never']);
        expect(outcomes.map(({ digest, error }) => (digest ? stage.versions.get(digest) : error))).toEqual(expected);
        const compare = async (each: PolicyOutcome) =>
          expectReality(stage, each, { root: await copyOfNode(root), image, registryIsUp: registry !== 'stopped' });
        // In turn, so that the requests to the registry can be told apart.
        if (registry === 'stopped') await Promise.all(outcomes.map(compare));
        else for (const each of outcomes) await compare(each);
      } finally {
        if (registry === 'stopped') await stage.registry.start();
      }
    });
  }
});

/** Runs a pod with the outcome's policy, and compares. */
async function expectReality(
  { registry, versions, layerSizes }: Stage,
  { policy, starts, digest, source, error, layersToDownload, bytesToDownload }: PolicyOutcome,
  { root, image, registryIsUp }: { root: string; image: string; registryIsUp: boolean },
): Promise<void> {
  const interrupted = new Map([...layerSizes.keys()].map((name) => [name, ingestBytes(root, name)]));
  const requestsBefore = registryIsUp ? (await registry.requests()).length : 0;
  const { exitCode, stdout, stderr } = await runPod(root, { image, imagePullPolicy: policy });
  const about = `${policy}:\n${stderr}`;
  if (starts) {
    expect([exitCode, stdout], about).toEqual([0, `[web/main] ${versions.get(digest!)}\n`]);
    expect(await digestOn(root, image), about).toBe(digest);
  } else {
    expect([exitCode, stdout], about).toEqual([1, '']);
    expect(stderr).toContain(`error: pod web, container main does not start (${error})`);
  }
  if (policy !== 'Always') expect(stderr.includes('already present on machine'), about).toBe(source === 'node');
  expect(leftoversOf(root)).toEqual([]);

  if (!registryIsUp) return;
  const layers = (await registry.requests())
    .slice(requestsBefore)
    .filter(({ method }) => method === 'GET')
    .map(({ path: target }) => target.slice(target.lastIndexOf('/') + 1) as Digest)
    .filter((name) => layerSizes.has(name));
  expect(layers.length, about).toBe(layersToDownload);
  const bytes = layers.reduce((sum, name) => sum + layerSizes.get(name)! - interrupted.get(name)!, 0);
  expect(bytes, about).toBe(bytesToDownload);
}

/** Of a killed process SQLite leaves an index of its log, which every reader of the log makes anew. */
function describeNode(root: string): string[] {
  return describeTree(root).filter((line) => !line.startsWith('lading.db-shm '));
}

/** What the image's name means on a node. */
async function digestOn(root: string, image: string): Promise<Digest | undefined> {
  const { stdout } = await runLading(['--root', root, 'images', '-o', 'json']);
  const rows = JSON.parse(stdout) as { name: string; digest: Digest }[];
  return rows.find(({ name }) => name === image || name === `${image}:latest`)?.digest;
}
