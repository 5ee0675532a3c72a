/**
 * The OCI distribution client: resolves references, fetches and pushes manifests and blobs, with authentication,
 * retries and redirects. It promises that what it calls verified was hashed, that a credential reaches only the
 * registry that it was found for, and that no secret appears in an error, a record or a log. It never writes to the
 * disk, never decides whether to pull, and never speaks plain http to another machine's registry.
 */
export type { Clock } from '../lib/clock.ts';
export { LadingError } from '../lib/errors.ts';
export type { BlobDownload, DownloadOptions } from './blob-download.ts';
export type { ReadBlobOptions } from './blob-fetcher.ts';
export type { BlobLimits } from './blob-slots.ts';
export type { BlobSource, UploadOptions } from './blob-upload.ts';
export { RegistryClient, type RegistryClientOptions } from './client.ts';
export type { TlsOptions } from './connector.ts';
export type { Credential, CredentialSource } from './credentials.ts';
export { dockerConfigCredentials } from './docker-config.ts';
export {
  type CredentialPlace,
  type DockerLoginOptions,
  eraseDockerCredential,
  storeDockerCredential,
} from './docker-login.ts';
export type { Capability } from './endpoint.ts';
export { isForeignLayer } from './foreign-layer.ts';
export { defaultCertsDirs } from './hosts/directory.ts';
export { type Mirror, type MirrorTable, parseMirrors } from './hosts/mirrors.ts';
export { machineCredentials } from './machine-credentials.ts';
export { type FetchedManifest, maxManifestBytes, type ResolvedManifest, type ResolveOptions } from './manifests.ts';
export type { RateLimit } from './rate-limit.ts';
export type { ReferrersOptions } from './referrers.ts';
export { isUnreachable, RegistryError, type RegistryErrorData, type RegistryErrorKind } from './registry-error.ts';
export { type PlannedEndpoint, planRequests, type RequestPlan } from './request-plan.ts';
export type { CallOptions, RequestWatch } from './requester.ts';
export type { RetryOptions } from './retry.ts';
export type { RequestKind, RequestRecord, Timeouts } from './transport.ts';
export type { RegistryWarning } from './warnings.ts';
