import type { LookupFunction } from 'node:net';
import { type Clock, systemClock } from '../lib/clock.ts';
import { packageVersion } from '../lib/package-version.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import { type BlobDownload, type DownloadOptions, downloadBlob } from './blob-download.ts';
import { hasBlob, type ReadBlobOptions, readBlob } from './blob-read.ts';
import { type BlobSource, type UploadOptions, uploadBlob } from './blob-upload.ts';
import type { TlsOptions } from './connector.ts';
import { CredentialStore } from './credential-store.ts';
import type { CredentialSource } from './credentials.ts';
import { dockerConfigCredentials } from './docker-config.ts';
import { type Endpoint, endpointsOf } from './endpoint.ts';
import {
  deleteManifest,
  type FetchedManifest,
  fetchManifest,
  pushManifest,
  type ResolvedManifest,
  resolveManifest,
} from './manifests.ts';
import { type CallOptions, Requester } from './requester.ts';
import { defaultRetry, Retrier, type RetryOptions } from './retry.ts';
import { listTags } from './tags.ts';
import { TokenClient } from './token.ts';
import { TokenCache } from './token-cache.ts';
import { defaultTimeouts, type RequestRecord, type Timeouts, Transport } from './transport.ts';

export interface RegistryClientOptions {
  /** Default: docker config.json and its credential helpers. */
  readonly credentials?: CredentialSource;
  /** Called for every HTTP exchange when it has ended, token requests and redirects included. */
  readonly onRequest?: (record: RequestRecord) => void;
  /** Default `lading/VERSION`. */
  readonly userAgent?: string;
  readonly tls?: TlsOptions;
  readonly retry?: RetryOptions;
  readonly timeouts?: Partial<Timeouts>;
  /** Name resolution of registries, token servers and storage hosts; that of Node.js by default. */
  readonly lookup?: LookupFunction;
  readonly clock?: Clock;
  /** From 0 up to 1, for the jitter of delays. Default `Math.random`. */
  readonly random?: () => number;
}

/**
 * A client for any number of registries. It keeps connections, tokens and what it learned about each registry; one
 * credential's token is never used for another credential's request. All methods throw `RegistryError`, the codes of
 * the credential source, or the reason of the signal.
 */
export class RegistryClient {
  readonly #transport: Transport;
  readonly #requester: Requester;

  constructor(options: RegistryClientOptions = {}) {
    const { clock = systemClock, random = Math.random, tls = {}, lookup, onRequest } = options;
    this.#transport = new Transport({
      timeouts: { ...defaultTimeouts, ...options.timeouts },
      tls,
      lookup,
      userAgent: options.userAgent ?? `lading/${packageVersion()}`,
      onRequest,
    });
    const transport = this.#transport;
    const retrier = new Retrier({ clock, random, retry: { ...defaultRetry, ...options.retry } });
    const tokenClient = new TokenClient({ transport, retrier, clock });
    this.#requester = new Requester({
      transport,
      retrier,
      tokens: new TokenCache((request) => tokenClient.fetch(request), clock),
      credentials: new CredentialStore(options.credentials ?? dockerConfigCredentials()),
    });
  }

  /**
   * What a reference means at its registry now. A tag costs one HEAD, a digest one GET, whose content comes along.
   * Without tag and digest, `latest` is meant.
   */
  resolve(reference: Reference, options: CallOptions = {}): Promise<ResolvedManifest> {
    return resolveManifest(this.#requester, endpointOf(reference), reference, options);
  }

  /**
   * The manifest or index with a digest, verified, at most 4 MiB; `reference` names the repository.
   * @throws also LadingError `ERR_LADING_MANIFEST_INVALID`, `ERR_LADING_MANIFEST_SCHEMA1`
   */
  fetchManifest(reference: Reference, digest: Digest, options: CallOptions = {}): Promise<FetchedManifest> {
    return fetchManifest(this.#requester, endpointOf(reference), reference, digest, options);
  }

  /** A blob as a stream of its raw bytes, which goes on after a cut. Not verified: hash what you keep. */
  fetchBlob(reference: Reference, descriptor: Descriptor, options: DownloadOptions = {}): Promise<BlobDownload> {
    return downloadBlob(this.#requester, endpointOf(reference), reference, descriptor, options);
  }

  /** A small blob in memory, verified. */
  readBlob(reference: Reference, descriptor: Descriptor, options: ReadBlobOptions): Promise<Uint8Array> {
    return readBlob(this.#requester, endpointOf(reference), reference, descriptor, options);
  }

  /** Whether the repository has the blob. */
  hasBlob(reference: Reference, descriptor: Pick<Descriptor, 'digest'>, options: CallOptions = {}): Promise<boolean> {
    return hasBlob(this.#requester, endpointOf(reference), reference, descriptor, options);
  }

  /** Sends a blob unless it is there; tells whether it was sent. `source` is called once for each attempt. */
  pushBlob(
    reference: Reference,
    descriptor: Descriptor,
    source: BlobSource,
    options: UploadOptions = {},
  ): Promise<boolean> {
    return uploadBlob(this.#requester, endpointOf(reference), reference, descriptor, source, options);
  }

  /** Stores a manifest under the reference's digest, else its tag, else `latest`. Its blobs must be there. */
  pushManifest(reference: Reference, bytes: Uint8Array, mediaType: string, options: CallOptions = {}): Promise<Digest> {
    return pushManifest(this.#requester, endpointOf(reference), reference, { bytes, mediaType }, options);
  }

  /** All tags of the repository, in the registry's order. */
  listTags(reference: Pick<Reference, 'registry' | 'repository'>, options: CallOptions = {}): Promise<string[]> {
    return listTags(this.#requester, endpointOf(reference), reference, options);
  }

  /** Deletes the reference's digest with all its tags, else its tag; false when there was none. */
  deleteManifest(reference: Reference, options: CallOptions = {}): Promise<boolean> {
    return deleteManifest(this.#requester, endpointOf(reference), reference, options);
  }

  /** Ends all connections at once; requests under way fail. */
  close(): Promise<void> {
    return this.#transport.close();
  }
}

function endpointOf({ registry }: Pick<Reference, 'registry'>): Endpoint {
  return endpointsOf(registry)[0]!;
}
