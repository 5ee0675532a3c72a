/**
 * Moves images between places: registries, OCI layouts, archives, the store of a node. Every move is one copy between
 * a source and a target, blobs first and names last, and it promises that content is verified on its way and that a
 * target shows an image whole or not at all. It never unpacks a layer, never changes a byte of a manifest, and never
 * writes under a name that an archive gives. What it uses of `store` and `unpack` it imports by file: a copy would load
 * all of them otherwise, which takes longer than copying a small image.
 */
export { LadingError } from '../lib/errors.ts';
export { type ArchiveFormat, openArchive } from './archive.ts';
export type { ArchiveInput } from './archive-files.ts';
export { type ArchiveOutput, fileOutput, streamOutput } from './archive-output.ts';
export { type ImageCollection, imageIn, type ListedImage } from './collection.ts';
export { type CopyOptions, type CopyProgress, type CopyResult, copyImage } from './copy.ts';
export { DockerArchiveTarget } from './docker-archive-target.ts';
export { LayoutArchiveTarget } from './layout-archive-target.ts';
export { type LoadOptions, type LoadResult, loadImage } from './load.ts';
export { type Location, parseLocation } from './location.ts';
export { manifestOfName, type NodeManifest, type NodeSourceOptions, nodeSource } from './node-source.ts';
export { type OpenSource, type OpenSourceOptions, type OpenTarget, openSource, openTarget } from './open-location.ts';
export type { FileTarget, ImageSource, ImageTarget, OfferedBlob, TakenImage, TransferOptions } from './places.ts';
export { registrySource, registryTarget } from './registry-place.ts';
