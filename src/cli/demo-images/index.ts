/**
 * The images of `lading demo`, made without a download: a static Linux executable of some 300 bytes that says which
 * version it is and waits, in an OCI image of two layers. The bytes depend on name, version and architecture alone, so
 * that a version has the same digests on every machine. Nothing here touches a disk, and only `pushDemoImage` a network.
 */
export type { DemoArchitecture } from './elf.ts';
export { demoExecutable } from './elf.ts';
export { buildDemoImage, type DemoImage, type DemoImageOptions, pushDemoImage } from './image.ts';
