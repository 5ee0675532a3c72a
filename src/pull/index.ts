/**
 * Brings images from a registry to a node: a plan, which says in bytes what is missing and writes nothing, and its
 * execution. It promises that an image or a name becomes visible only when all of it is verified and unpacked, that
 * what was interrupted goes on where it was, and that nothing is asked for that the store has. It never decides
 * whether to pull.
 */
export { LadingError } from '../lib/errors.ts';
export { type UnpackLimits, UnpackPool } from '../unpack/index.ts';
export type { PullDependencies, PullOptions, PullSource } from './dependencies.ts';
export type { ImageDocument } from './documents.ts';
export { type ExecuteOptions, executePull, type PullResult } from './execute.ts';
export { isImageComplete, isLayerHere } from './image-complete.ts';
export { type LayerPlan, type PlanOptions, type PullPlan, planPull } from './plan.ts';
export type { ImageProgress, LayerProgress, PullProgress } from './progress.ts';
export { fetchBlobByNames, layerDeviations, repairHooks } from './repair.ts';
export { copyRootfs, rootfsOf } from './rootfs.ts';
export { type SharedPullOptions, SharedPulls } from './shared-pulls.ts';
