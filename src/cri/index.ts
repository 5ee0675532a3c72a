/**
 * The Container Runtime Interface between the agent and the engine: its messages, its two services, its errors.
 * Both sides depend on this folder and never on each other, so either can be replaced by a real kubelet or another
 * runtime. It never decides, stores or runs anything.
 */
export { CriError, type CriStatus } from './error.ts';
export { imageAnnotations } from './image-annotations.ts';
export type * from './messages.ts';
export type { CallOptions, ImageService, RuntimeService } from './services.ts';
