import type { Clock } from '../lib/clock.ts';
import type { Credential, RegistryClient } from '../registry/index.ts';
import type { Store } from '../store/index.ts';
import type { UnpackPool } from '../unpack/index.ts';
import type { PullWatch } from './pull-watch.ts';

/** Where images come from: a registry client, or whatever else gives out manifests and blobs as one does. */
export type PullSource = Pick<RegistryClient, 'resolve' | 'fetchManifest' | 'fetchBlob' | 'readBlob'>;

/** What a pull works with. */
export interface PullDependencies {
  readonly store: Store;
  readonly registry: PullSource;
  readonly unpack: UnpackPool;
  /** For the end of a pull that brings nothing; the system's unless given. */
  readonly clock?: Clock;
}

export interface PullOptions {
  readonly signal?: AbortSignal | undefined;
  /** Of the pull that it belongs to. */
  readonly watch?: PullWatch | undefined;
  /** For this pull, tried in order, instead of those that the registry client finds. */
  readonly credentials?: readonly Credential[] | undefined;
}
