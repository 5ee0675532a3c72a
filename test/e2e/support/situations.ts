import { rm, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { KubeletReason } from '../../../src/policy/index.ts';
import { removeFolder, type Stage } from './stage.ts';

/** The text that the image prints, or why its container does not start. */
export type Outcome = 'one' | 'two' | KubeletReason;

export interface Situation {
  readonly what: string;
  readonly outcomes: readonly [always: Outcome, ifNotPresent: Outcome, never: Outcome];
  readonly registry?: 'stopped';
  /**
   * Brings node and registry there.
   * @param at.repository in the registry, nothing of it exists; `at.name` is the same with the registry's address
   * @returns the image as the pod has it
   */
  readonly arrange: (stage: Stage, at: { root: string; repository: string; name: string }) => Promise<string>;
}

export const situations: readonly Situation[] = [
  {
    what: 'nothing on the node',
    outcomes: ['one', 'one', 'ErrImageNeverPull'],
    arrange: async (stage, { repository }) => (await stage.push(`${repository}:1`, 'one')).name,
  },
  {
    what: 'the same digest on the node and in the registry',
    outcomes: ['one', 'one', 'one'],
    arrange: async (stage, { root, repository }) => (await stage.pushAndPull(root, `${repository}:1`, 'one')).name,
  },
  {
    what: 'the tag has moved',
    outcomes: ['two', 'one', 'one'],
    async arrange(stage, { root, repository }) {
      await stage.pushAndPull(root, `${repository}:1`, 'one');
      return (await stage.push(`${repository}:1`, 'two')).name;
    },
  },
  {
    what: 'the tag has moved to an image that the node has under another one',
    outcomes: ['two', 'one', 'one'],
    async arrange(stage, { root, repository }) {
      await stage.pushAndPull(root, `${repository}:1`, 'one');
      await stage.pushAndPull(root, `${repository}:2`, 'two');
      return (await stage.push(`${repository}:1`, 'two')).name;
    },
  },
  {
    what: 'no tag, and latest has moved',
    outcomes: ['two', 'one', 'one'],
    async arrange(stage, { root, repository, name }) {
      await stage.pushAndPull(root, `${repository}:latest`, 'one');
      await stage.push(`${repository}:latest`, 'two');
      return name;
    },
  },
  {
    what: 'the image is gone from the registry',
    outcomes: ['ErrImagePull', 'one', 'one'],
    async arrange(stage, { root, repository }) {
      const { name, manifest } = await stage.pushAndPull(root, `${repository}:1`, 'one');
      await fetch(`${stage.registry.url}/v2/${repository}/manifests/${manifest}`, { method: 'DELETE' });
      return name;
    },
  },
  {
    what: 'no image of that name anywhere',
    outcomes: ['ErrImagePull', 'ErrImagePull', 'ErrImageNeverPull'],
    arrange: async (_, { name }) => `${name}:1`,
  },
  {
    what: 'a name that cannot be read',
    outcomes: ['InvalidImageName', 'InvalidImageName', 'InvalidImageName'],
    arrange: async (_, { name }) => `${name}:no tag`,
  },
  {
    what: 'an index for other platforms only',
    outcomes: ['ErrImagePull', 'ErrImagePull', 'ErrImageNeverPull'],
    arrange: (stage, { repository }) => stage.pushIndex(repository, 'one', { os: 'linux', architecture: 's390x' }),
  },
  {
    what: 'an index, pulled',
    outcomes: ['one', 'one', 'one'],
    async arrange(stage, { root, repository }) {
      const image = await stage.pushIndex(repository, 'one');
      await stage.pull(root, image);
      return image;
    },
  },
  {
    what: 'the registry is stopped, the image on the node',
    outcomes: ['RegistryUnavailable', 'one', 'one'],
    registry: 'stopped',
    arrange: async (stage, { root, repository }) => (await stage.pushAndPull(root, `${repository}:1`, 'one')).name,
  },
  {
    what: 'the registry is stopped, nothing on the node',
    outcomes: ['RegistryUnavailable', 'RegistryUnavailable', 'ErrImageNeverPull'],
    registry: 'stopped',
    arrange: async (_, { name }) => `${name}:1`,
  },
  {
    what: 'a digest, nothing on the node',
    outcomes: ['one', 'one', 'ErrImageNeverPull'],
    arrange: async (stage, { repository, name }) => `${name}@${(await stage.push(`${repository}:1`, 'one')).manifest}`,
  },
  {
    what: 'the digest of a tag that was pulled and has moved',
    outcomes: ['one', 'one', 'one'],
    async arrange(stage, { root, repository, name }) {
      const { manifest } = await stage.pushAndPull(root, `${repository}:1`, 'one');
      await stage.pushAndPull(root, `${repository}:1`, 'two');
      return `${name}@${manifest}`;
    },
  },
  {
    what: 'a digest of this node, the registry stopped',
    outcomes: ['RegistryUnavailable', 'one', 'one'],
    registry: 'stopped',
    async arrange(stage, { root, repository, name }) {
      const { manifest } = await stage.push(`${repository}:1`, 'one');
      await stage.pull(root, `${name}@${manifest}`);
      return `${name}@${manifest}`;
    },
  },
  {
    what: 'the same image under another name',
    outcomes: ['one', 'one', 'ErrImageNeverPull'],
    async arrange(stage, { root, repository }) {
      await stage.pushAndPull(root, `${repository}/origin:1`, 'one');
      return (await stage.push(`${repository}:1`, 'one')).name;
    },
  },
  {
    what: 'its download was interrupted',
    outcomes: ['one', 'one', 'ErrImageNeverPull'],
    arrange: async (stage, { root, repository }) => (await stage.interruptedPull(root, `${repository}:1`, 'one')).name,
  },
  {
    what: 'a layer folder was removed',
    outcomes: ['one', 'one', 'ErrImageNeverPull'],
    arrange: (stage, { root, repository }) =>
      stage.damaged(root, `${repository}:1`, ({ layer }) => removeFolder(layer)),
  },
  {
    what: 'a layer folder was removed, the registry stopped',
    outcomes: ['RegistryUnavailable', 'RegistryUnavailable', 'ErrImageNeverPull'],
    registry: 'stopped',
    arrange: (stage, { root, repository }) =>
      stage.damaged(root, `${repository}:1`, ({ layer }) => removeFolder(layer)),
  },
  {
    what: 'a layer folder and its blob were removed',
    outcomes: ['one', 'one', 'ErrImageNeverPull'],
    arrange: (stage, { root, repository }) =>
      stage.damaged(root, `${repository}:1`, async ({ layer, layerBlob }) => {
        await removeFolder(layer);
        await rm(layerBlob);
      }),
  },
  {
    what: 'a layer lost its files',
    outcomes: ['one', 'one', 'ErrImageNeverPull'],
    arrange: (stage, { root, repository }) =>
      stage.damaged(root, `${repository}:1`, ({ layer }) => removeFolder(path.join(layer, 'fs'))),
  },
  {
    what: 'the facts of a layer were damaged',
    outcomes: ['one', 'one', 'ErrImageNeverPull'],
    arrange: (stage, { root, repository }) =>
      stage.damaged(root, `${repository}:1`, ({ layer }) => truncate(path.join(layer, 'facts.json'), 20)),
  },
  {
    what: 'the configuration was removed',
    outcomes: ['one', 'one', 'ErrImageNeverPull'],
    arrange: (stage, { root, repository }) => stage.damaged(root, `${repository}:1`, ({ config }) => rm(config)),
  },
  {
    what: 'the manifest was truncated',
    outcomes: ['one', 'one', 'ErrImageNeverPull'],
    arrange: (stage, { root, repository }) =>
      stage.damaged(root, `${repository}:1`, async ({ manifest }) => {
        await rm(manifest);
        await writeFile(manifest, '{');
      }),
  },
];
