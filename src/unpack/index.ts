/**
 * Turns layer blobs into directories and stacks of directories into root file systems, on worker threads. Promises that
 * a layer is unpacked exactly as it says or not at all, that no name in it reaches anything outside its directory, and
 * that mounting and copying give the same tree. Never downloads, never syncs, never decides where a layer is stored.
 */
export type { GrowingBlob } from './byte-source.ts';
export { LayerError, type LayerErrorClass } from './errors.ts';
export { buildFixUp } from './fix-up.ts';
export { layerCompression } from './layer-media-types.ts';
export { defaultLimits, maxLayers, type UnpackLimits } from './limits.ts';
export { type TaskOptions, UnpackPool } from './pool.ts';
export { type LayerDirectory, lowerDirectories } from './stack.ts';
export { typeFlags } from './tar-header.ts';
export { type EntryHandler, type TarEntry, TarReader } from './tar-reader.ts';
export type { UnpackJob } from './unpack-layer.ts';
export { type LayerFinding, verifyLayer } from './verify-layer.ts';
export { looksLikeZstd, ZstdFrameWalker } from './zstd-frames.ts';
