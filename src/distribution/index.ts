/**
 * An OCI distribution registry: the HTTP server that image tools push to and pull from. It promises that what it has
 * acknowledged survives a kill and is served with the digest it was pushed by, that a blob is visible only where it was
 * pushed or mounted, and that memory stays flat whatever the size of a blob. It never converts a manifest, never talks
 * to another registry and never changes a node's image store.
 */
export { LadingError } from '../lib/errors.ts';
export { type AccessRecord, combinedLogLine } from './access-record.ts';
export type { UserOptions } from './authentication.ts';
export type { AnyContent, LayoutContent, OwnContent, ReadOnlyLayoutContent, StoreContent } from './content.ts';
export { collectRegistryGarbage, type GarbageOptions, type GarbageReport } from './garbage.ts';
export type { TlsOptions } from './listener.ts';
export type { GarbageSchedule } from './maintenance.ts';
export type { Endpoint } from './routes.ts';
export {
  type HandlingOptions,
  type OpenRegistry,
  openRegistry,
  type Registry,
  type RegistryOptions,
  type ServingOptions,
  startRegistry,
} from './server.ts';
