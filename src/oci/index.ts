/**
 * The words of the OCI specifications as types and pure functions: references, digests, descriptors, manifests, image
 * configs, platforms. What comes out of here has been checked, so nothing behind it checks again. It never reads a
 * store or a network; the one thing it asks is which platform this machine has.
 */
export { type ErrorCode, LadingError } from '../lib/errors.ts';
export { chainIds } from './chain-id.ts';
export type { Descriptor } from './descriptor.ts';
export {
  type Digest,
  type DigestAlgorithm,
  Digester,
  digestAlgorithm,
  digestHex,
  digestOf,
  isDigest,
  parseDigest,
} from './digest.ts';
export {
  type ContainerDefaults,
  configPlatform,
  type HistoryEntry,
  type ImageConfig,
  parseImageConfig,
} from './image-config.ts';
export { type ImageIndex, type ImageManifest, parseManifest } from './manifest.ts';
export {
  bareMediaType,
  isImageConfigType,
  isIndexType,
  isManifestType,
  manifestAccept,
  mediaTypes,
} from './media-types.ts';
export {
  armVariant,
  containerPlatform,
  formatPlatform,
  hostPlatform,
  normalizePlatform,
  type Platform,
  parsePlatform,
} from './platform.ts';
export {
  availablePlatforms,
  matchPlatform,
  type PlatformEntry,
  type PlatformMode,
  selectPlatform,
} from './platform-match.ts';
export {
  familiarReference,
  formatReference,
  parseImageId,
  parseReference,
  pullReference,
  type Reference,
  type ReferenceErrorClass,
  repositoryName,
  trimReference,
} from './reference.ts';
