import { join } from 'node:path';
import { parseReference, pullReference } from '../../src/oci/index.ts';
import { executePull, type PullResult, planPull } from '../../src/pull/index.ts';
import { RegistryClient } from '../../src/registry/index.ts';
import { openStore } from '../../src/store/index.ts';
import { UnpackPool } from '../../src/unpack/index.ts';
import type { BuiltImage } from './images.ts';

export interface RunningMeasurement {
  /** Of the image with another top layer, pulled after the first one. */
  readonly next: Pick<PullResult, 'layersFetched' | 'bytesFetched'> & {
    readonly layersUnpacked: number;
    readonly ms: number;
  };
  /** Of each pull that found nothing new, without the registry's answer. */
  readonly warmMs: readonly number[];
}

const warmPulls = 30;

/** What a process that runs already does: an image that shares all but its top layer, and pulls that find nothing new. */
export async function measureRunning(image: BuiltImage, folder: string): Promise<RunningMeasurement> {
  const store = await openStore(join(folder, 'root'));
  const deps = { store, registry: new RegistryClient(), unpack: new UnpackPool() };
  const pull = async (name: string) => {
    const startMs = performance.now();
    const plan = await planPull(deps, pullReference(parseReference(name)));
    const result = await executePull(deps, plan);
    const ms = performance.now() - startMs;
    return { result, ms, ownMs: ms - plan.responseMs };
  };
  try {
    await pull(image.reference);
    const layersBefore = store.layers.list().length;
    const { result, ms } = await pull(image.nextReference);
    const layersUnpacked = store.layers.list().length - layersBefore;
    const warmMs: number[] = [];
    for (let count = 0; count < warmPulls; count += 1) warmMs.push((await pull(image.nextReference)).ownMs);
    return { next: { ...result, layersUnpacked, ms }, warmMs };
  } finally {
    await deps.unpack.close();
    await deps.registry.close();
    store.close();
  }
}
