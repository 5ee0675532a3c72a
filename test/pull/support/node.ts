import path from 'node:path';
import { onTestFinished } from 'vitest';
import { parseReference, pullReference, type Reference } from '../../../src/oci/index.ts';
import {
  type ExecuteOptions,
  executePull,
  type PlanOptions,
  type PullDependencies,
  planPull,
} from '../../../src/pull/index.ts';
import { RegistryClient, type RegistryClientOptions } from '../../../src/registry/index.ts';
import { openStore, type StoreOptions } from '../../../src/store/index.ts';
import { UnpackPool } from '../../../src/unpack/index.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

/** A store with what a pull needs, closed and gone with the test. */
export async function testNode(
  options: { root?: string; registry?: RegistryClientOptions; store?: StoreOptions } = {},
): Promise<PullDependencies> {
  const root = options.root ?? path.join(await temporaryFolder(), 'node');
  const store = await openStore(root, options.store);
  const registry = new RegistryClient({ credentials: async () => [], ...options.registry });
  const unpack = new UnpackPool({ workers: 2 });
  onTestFinished(async () => {
    await unpack.close();
    await registry.close();
    store.close();
  });
  return { store, registry, unpack };
}

export function reference(at: { readonly address: string }, name: string): Reference {
  return pullReference(parseReference(`${at.address}/${name}`));
}

export async function pull(deps: PullDependencies, what: Reference, options: PlanOptions & ExecuteOptions = {}) {
  return executePull(deps, await planPull(deps, what, options), options);
}
