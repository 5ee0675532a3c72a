/**
 * One node's disk: blobs, unfinished downloads, unpacked layers, names and what they have meant, leases. It promises
 * that nothing is visible before it is verified and on stable storage, that a kill at any moment leaves a store that
 * opens and goes on, and that several processes may share one root. It never talks to a registry and never unpacks.
 */
export { LadingError } from '../lib/errors.ts';
export type { LayerFacts } from '../lib/layer-facts.ts';
export type { OverlaySupport } from '../lib/overlay.ts';
export type { BlobIngest, IngestOptions } from './blob-ingest.ts';
export type { PutOptions } from './blob-put.ts';
export { BlobStore } from './blob-store.ts';
export type { CheckOptions, CheckReport, Finding, RepairHooks } from './check.ts';
export type { KeepCompressedLayers } from './compressed-layers.ts';
export { requireSpace } from './disk.ts';
export type { DiskUsage, Usage } from './disk-usage.ts';
export type { NodeEvent, StoredEvent } from './events.ts';
export type { FixUps, FixUpWriter } from './fix-ups.ts';
export { type FolderLock, type FolderLockOptions, lockFolder } from './folder-lock.ts';
export type { GarbageOptions, GarbageReport } from './garbage.ts';
export type { ImageLayer, ImageName, ImageRecord, Images } from './images.ts';
export type { Layers, LayerWriter, StoredLayer } from './layers.ts';
export type { Lease, LeaseContent, LeaseKind, Leases } from './leases.ts';
export type { NameMeaning, NameRecord, Names, NewMeaning } from './names.ts';
export type { ContainerStarts } from './starts.ts';
export type { Step } from './steps.ts';
export { openStore, Store, type StoreOptions } from './store.ts';
export { type NotDeleted, Trash } from './trash.ts';
