/**
 * The container engine of one node: the CRI's ImageService and RuntimeService over the pull engine, the store and a
 * container runtime. It promises that what it runs is what it was asked to run, verified, and that a container leaves
 * nothing behind. It never sees a pull policy: whether to pull is the agent's decision.
 */

export { findImage } from './image-lookup.ts';
export { EngineImageService, type PullListener, type PullWarningListener } from './image-service.ts';
export { writeOwner } from './recovery.ts';
export { EngineRuntimeService, type RuntimeServiceDependencies } from './runtime-service.ts';
