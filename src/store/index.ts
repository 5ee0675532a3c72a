/**
 * One node's disk: blobs, unfinished downloads, unpacked layers, names and what they have meant, leases. It promises
 * that nothing is visible before it is verified and on stable storage, that a kill at any moment leaves a store that
 * opens and goes on, and that several processes may share one root. It never talks to a registry and never unpacks.
 */
export type { BlobIngest, IngestOptions } from './blob-ingest.ts';
export { BlobStore } from './blob-store.ts';
