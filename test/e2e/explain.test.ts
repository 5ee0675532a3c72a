/** `lading explain`: its facts are right, its JSON is as documented, and it makes nothing. */
import { existsSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ExplainedContainer } from '../../src/cli/explain/explain-subject.ts';
import { busyboxMissing } from '../support/busybox.ts';
import type { PushedImage } from '../support/busybox-image.ts';
import { dockerRegistryMissing, startDockerRegistry } from '../support/docker-registry.ts';
import { programMissing } from '../support/foreign-clients.ts';
import { runLading } from '../support/lading-process.ts';
import { manifestText, pod } from '../support/manifest.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import { describeTree } from '../support/tree.ts';
import { Stage } from './support/stage.ts';

const missing = dockerRegistryMissing ?? busyboxMissing ?? programMissing('skopeo');

describe.skipIf(missing)(`lading explain${missing ? ` (skipped: ${missing})` : ''}`, () => {
  let stage: Stage;
  let address: string;
  beforeAll(async () => {
    stage = new Stage(await startDockerRegistry());
    address = stage.registry.address;
  });
  afterAll(() => stage?.registry.close());

  async function explain(root: string, args: readonly string[], stdin = ''): Promise<readonly ExplainedContainer[]> {
    const { stdout, stderr } = await runLading(['--root', root, 'explain', '-o', 'json', ...args], { stdin });
    expect(stderr).toBe('');
    const document = JSON.parse(stdout) as { items: readonly ExplainedContainer[] };
    expect(document).toMatchObject({ apiVersion: 'lading.dev/v1', kind: 'ExplanationList', node: root });
    for (const { outcomes, outcome, policy } of document.items) {
      expect(outcomes.find((each) => each.policy === policy)).toEqual(outcome);
    }
    return document.items;
  }

  const explainOne = async (root: string, image: string) => (await explain(root, [image]))[0]!;
  const localFacts = ({ manifest, config }: PushedImage) => ({
    digest: manifest,
    imageId: config,
    pulledAt: expect.stringMatching(/^20\d\d-\d\d-\d\dT.*Z$/),
    checkedAt: expect.stringMatching(/^20\d\d-\d\d-\d\dT.*Z$/),
    layersUnpacked: 2,
    layersTotal: 2,
    platform: expect.stringMatching(/^linux\//),
  });

  test('nothing on the node, whose folder does not exist: it is not made', async () => {
    const root = path.join(await temporaryFolder(), 'node');
    const { name, manifest, layers } = await stage.push('absent:1', 'one');
    const bytes = layers.reduce((sum, { size }) => sum + size, 0);
    const item = await explainOne(root, name);
    expect(item.node).toBeUndefined();
    expect(item.registry).toMatchObject({ reachable: true, digest: manifest, layersToFetch: 2, bytesToFetch: bytes });
    const pulled = { starts: true, digest: manifest, source: 'registry', layersToDownload: 2, bytesToDownload: bytes };
    expect(item.outcomes).toMatchObject([pulled, pulled, { starts: false, error: 'ErrImageNeverPull' }]);
    expect(existsSync(root)).toBe(false);
    await expectExitCodes(root, name, { Always: 0, IfNotPresent: 0, Never: 1 });
  });

  test('the same digest', async () => {
    const root = await temporaryFolder();
    const image = await stage.pushAndPull(root, 'same:1', 'one');
    const item = await explainOne(root, image.name);
    expect(item.node).toEqual(localFacts(image));
    expect(item.registry).toMatchObject({ digest: image.manifest, layersToFetch: 0, bytesToFetch: 0 });
    const local = {
      starts: true,
      digest: image.manifest,
      source: 'node',
      bytesToDownload: 0,
      olderThanRegistry: false,
    };
    expect(item.outcomes).toMatchObject([local, local, local]);
    await expectExitCodes(root, image.name, { Always: 0, IfNotPresent: 0, Never: 0 });
  });

  test('the tag has moved, told to people too', async () => {
    const root = await temporaryFolder();
    const old = await stage.pushAndPull(root, 'moved:1', 'one');
    const { name, manifest, layers } = await stage.push('moved:1', 'two');
    const item = await explainOne(root, name);
    expect(item.node).toEqual(localFacts(old));
    const download = { layersToDownload: 1, bytesToDownload: layers.at(-1)!.size };
    expect(item.outcomes).toMatchObject([
      { starts: true, digest: manifest, source: 'registry', ...download, olderThanRegistry: false },
      { starts: true, digest: old.manifest, source: 'node', bytesToDownload: 0, olderThanRegistry: true },
      { starts: true, digest: old.manifest, source: 'node', bytesToDownload: 0, olderThanRegistry: true },
    ]);
    const { stdout } = await runLading(['--root', root, 'explain', name]);
    const [from, to] = [old.manifest.slice(7, 19), manifest.slice(7, 19)];
    expect(stdout).toMatch(new RegExp(`^   this node +${old.manifest}, pulled `, 'm'));
    expect(stdout).toMatch(new RegExp(`^   registry +${manifest}, answered in `, 'm'));
    expect(stdout).toMatch(new RegExp(`^     Always +${to} +1 layer, ${layers.at(-1)!.size}B +no$`, 'm'));
    expect(stdout).toMatch(new RegExp(`^ \\* +IfNotPresent +${from} +nothing +yes$`, 'm'));
    expect(stdout).toContain(`  hint: To run what the registry says now, pull it on this node (lading pull ${name})`);
  });

  test('the registry is stopped', async () => {
    const root = await temporaryFolder();
    const image = await stage.pushAndPull(root, 'stopped:1', 'one');
    await stage.registry.stop();
    try {
      const item = await explainOne(root, image.name);
      expect(item.registry).toMatchObject({ reachable: false, refused: false, code: 'ERR_LADING_REGISTRY_REFUSED' });
      const local = { starts: true, digest: image.manifest, source: 'node' };
      expect(item.outcomes).toMatchObject([{ starts: false, error: 'RegistryUnavailable' }, local, local]);
      expect(item.outcomes.map(({ olderThanRegistry }) => olderThanRegistry)).toEqual([
        undefined,
        undefined,
        undefined,
      ]);
      await expectExitCodes(root, image.name, { Always: 1, IfNotPresent: 0, Never: 0 });
    } finally {
      await stage.registry.start();
    }
  });

  test.each([
    ['app', 'Always', 'no tag means :latest, and :latest means Always'],
    ['app:latest', 'Always', 'the tag :latest means Always'],
    ['app:1', 'IfNotPresent', 'the tag :1 is not :latest, and any other tag means IfNotPresent'],
    [`app@sha256:${'0'.repeat(64)}`, 'IfNotPresent', 'a digest without a tag means IfNotPresent'],
  ])('%s has by default the policy %s', async (image, policy, policyRule) => {
    const item = await explainOne(await temporaryFolder(), `${address}/${image}`);
    expect(item).toMatchObject({ image: `${address}/${image}`, policy, policyOrigin: 'defaulted', policyRule });
  });

  test('a manifest with several containers', async () => {
    const root = await temporaryFolder();
    const { name, manifest } = await stage.pushAndPull(root, 'several:1', 'one');
    const text = manifestText(
      pod('web', [
        { name: 'first', image: name, imagePullPolicy: 'Always' },
        { name: 'second', image: name },
        { name: 'third', image: `${address}/several:none`, imagePullPolicy: 'Never' },
      ]),
      pod('other', [{ name: 'fourth', image: 'No Name' }]),
    );
    const file = path.join(await temporaryFolder(), 'pods.yaml');
    await writeFile(file, text);
    const items = await explain(root, [file]);
    const local = { starts: true, digest: manifest };
    expect(items).toMatchObject([
      { file, pod: 'web', container: 'first', policy: 'Always', policyOrigin: 'written', outcome: local },
      { file, pod: 'web', container: 'second', policy: 'IfNotPresent', policyOrigin: 'defaulted', outcome: local },
      { file, pod: 'web', container: 'third', policy: 'Never', outcome: { error: 'ErrImageNeverPull' } },
      { file, pod: 'other', container: 'fourth', registry: { asked: false }, outcome: { error: 'InvalidImageName' } },
    ]);
    const fromStandardInput = await explain(root, ['-'], text);
    expect(fromStandardInput.map(({ container }) => container)).toEqual(['first', 'second', 'third', 'fourth']);
    expect(fromStandardInput[0]!.file).toBe('standard input');
  });

  /** The root is the same afterwards, too. */
  async function expectExitCodes(root: string, image: string, codes: Readonly<Record<string, number>>): Promise<void> {
    const before = existsSync(root) ? describeTree(root) : undefined;
    for (const [imagePullPolicy, exitCode] of Object.entries(codes)) {
      const stdin = manifestText(pod('web', [{ name: 'main', image, imagePullPolicy }]));
      const result = await runLading(['--root', root, 'explain', '-'], { stdin });
      expect([imagePullPolicy, result.exitCode], result.stdout).toEqual([imagePullPolicy, exitCode]);
    }
    expect(existsSync(root) ? describeTree(root) : undefined).toEqual(before);
  }
});
