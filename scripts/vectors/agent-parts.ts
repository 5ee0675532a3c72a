import { type Pod, parsePodManifests } from '../../src/agent/index.ts';
import type { ImageService } from '../../src/cri/index.ts';
import type { PullSecret } from '../../src/policy/index.ts';
import type { VectorCase } from './vector-table.ts';

/** A pod of which only the names and the pull secrets matter. */
export function podNamed(
  { name, namespace, uid }: { name: string; namespace: string; uid: string },
  pullSecrets: readonly PullSecret[] = [],
): Pod {
  const manifest = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'any' },
    spec: { containers: [{ name: 'any', image: 'any' }] },
  };
  const [pod] = parsePodManifests(JSON.stringify(manifest), { file: 'vector' });
  return { ...pod!, metadata: { ...pod!.metadata, name, namespace, uid }, pullSecrets };
}

/** A pull secret as the tables write it. */
export function pullSecret({ dockerConfigJson, rawData, ...secret }: VectorCase['secret']): PullSecret {
  return { ...secret, data: rawData ?? { '.dockerconfigjson': JSON.stringify(dockerConfigJson) } };
}

const unused = () => Promise.reject(new Error('the table does not expect this call'));

/** The calls of an image service that an evaluation does not make. */
export const unusedImageCalls: Pick<ImageService, 'listImages' | 'removeImage' | 'imageFsInfo'> = {
  listImages: unused,
  removeImage: unused,
  imageFsInfo: unused,
};
