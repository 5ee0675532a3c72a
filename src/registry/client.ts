import type { LookupFunction } from 'node:net';
import { type Clock, systemClock } from '../lib/clock.ts';
import { packageVersion } from '../lib/package-version.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import type { Digest } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import type { BlobDownload, DownloadOptions } from './blob-download.ts';
import { BlobFetcher, type ReadBlobOptions } from './blob-fetcher.ts';
import { type BlobLimits, BlobSlots } from './blob-slots.ts';
import { type BlobSource, type UploadOptions, uploadBlob } from './blob-upload.ts';
import { checkCredential } from './check-credential.ts';
import type { TlsOptions } from './connector.ts';
import { CredentialStore } from './credential-store.ts';
import type { Credential, CredentialSource } from './credentials.ts';
import type { Endpoint } from './endpoint.ts';
import { Demotions } from './endpoint-walk.ts';
import { Endpoints, type Operation } from './endpoints.ts';
import { hasBlob } from './has-blob.ts';
import { defaultCertsDirs } from './hosts/directory.ts';
import { type MirrorTable, parseMirrors } from './hosts/mirrors.ts';
import { machineCredentials } from './machine-credentials.ts';
import {
  deleteManifest,
  type FetchedManifest,
  fetchManifest,
  pushManifest,
  type ResolvedManifest,
  type ResolveOptions,
  resolveManifest,
} from './manifests.ts';
import { proxiesOf } from './proxy.ts';
import { listReferrers, type ReferrersOptions } from './referrers.ts';
import { type CallOptions, Requester, type SendOptions } from './requester.ts';
import { defaultRetry, Retrier, type RetryOptions } from './retry.ts';
import { listTags } from './tags.ts';
import { TokenClient } from './token.ts';
import { TokenCache } from './token-cache.ts';
import { defaultTimeouts, type RequestRecord, type Timeouts, Transport } from './transport.ts';
import { type RegistryWarning, Warnings } from './warnings.ts';

export interface RegistryClientOptions {
  /** Default: what docker and podman have been logged in with on this machine. */
  readonly credentials?: CredentialSource | undefined;
  /** Folders with `<host>/hosts.toml`; the first one that knows a registry counts. Default: those of this machine. */
  readonly certsDirs?: readonly string[] | undefined;
  /** Mirrors of registries that have no folder there, in short. A folder `_default` counts after a registry's own mirrors. */
  readonly mirrors?: MirrorTable | undefined;
  /** Called for every HTTP exchange when it has ended, token requests and redirects included. */
  readonly onRequest?: ((record: RequestRecord) => void) | undefined;
  /** Called for what a user should know although all goes well; process warnings by default. */
  readonly onWarning?: ((warning: RegistryWarning) => void) | undefined;
  /** Default `lading/VERSION`. */
  readonly userAgent?: string | undefined;
  readonly tls?: TlsOptions | undefined;
  readonly retry?: RetryOptions | undefined;
  readonly timeouts?: Partial<Timeouts> | undefined;
  /** How many blobs are received at the same time; others wait. A body that is not read keeps its place. */
  readonly limits?: BlobLimits | undefined;
  /**
   * Memory for what connections without TLS receive, of all of them together. Default 2 MiB; with more, a blob comes in
   * larger pieces, up to 1 MiB, and faster.
   */
  readonly receiveBytes?: number | undefined;
  /** Whether foreign layers may be taken from URLs with addresses of internal networks. Default `refused`. */
  readonly internalUrls?: 'refused' | 'allowed' | undefined;
  /** With `HTTPS_PROXY`, `HTTP_PROXY` and `NO_PROXY`. Default `process.env`. */
  readonly environment?: NodeJS.ProcessEnv | undefined;
  /** Name resolution of registries, token servers and storage hosts; that of Node.js by default. */
  readonly lookup?: LookupFunction | undefined;
  readonly clock?: Clock | undefined;
  /** From 0 up to 1, for the jitter of delays. Default `Math.random`. */
  readonly random?: (() => number) | undefined;
}

const defaultReceiveBytes = 2 * 1024 * 1024;

/**
 * A client for any number of registries. It keeps connections, tokens and what it learned about each registry; one
 * credential's token is never used for another credential's request. Where a registry has mirrors, they are asked
 * first. All methods throw `RegistryError`, `ERR_LADING_HOSTS_…` when the mirrors cannot be read, the codes of the
 * credential source, or the reason of the signal.
 */
export class RegistryClient {
  readonly #transport: Transport;
  readonly #credentials: CredentialStore;
  readonly #requester: Requester;
  readonly #endpoints: Endpoints;
  readonly #blobs: BlobFetcher;

  /** @throws LadingError `ERR_LADING_HOSTS_MIRRORS` */
  constructor(options: RegistryClientOptions = {}) {
    const { clock = systemClock, random = Math.random, tls = {}, lookup, onRequest } = options;
    const { certsDirs = defaultCertsDirs(), mirrors = {}, limits = {}, internalUrls = 'refused' } = options;
    const warnings = new Warnings(options.onWarning, clock);
    this.#transport = new Transport({
      timeouts: { ...defaultTimeouts, ...options.timeouts },
      tls,
      lookup,
      receiveBytes: options.receiveBytes ?? defaultReceiveBytes,
      proxyFor: proxiesOf(options.environment ?? process.env),
      userAgent: options.userAgent ?? `lading/${packageVersion()}`,
      onRequest,
    });
    const transport = this.#transport;
    const retrier = new Retrier({ clock, random, retry: { ...defaultRetry, ...options.retry } });
    const tokenClient = new TokenClient({ transport, retrier, clock });
    this.#credentials = new CredentialStore(options.credentials ?? machineCredentials());
    const requester = new Requester({
      transport,
      retrier,
      tokens: new TokenCache((request) => tokenClient.fetch(request), clock),
      credentials: this.#credentials,
      warnings,
    });
    const endpoints = new Endpoints({
      hosts: { certsDirs, mirrors: parseMirrors(mirrors) },
      retrier,
      demotions: new Demotions(clock),
      warn: (registry, text) => warnings.say(registry, text),
    });
    this.#requester = requester;
    this.#endpoints = endpoints;
    this.#blobs = new BlobFetcher({ requester, endpoints, slots: new BlobSlots(limits), clock, internalUrls });
  }

  /**
   * What a reference means at its registry now. A tag costs one HEAD, or one GET with its content; a digest one GET, whose
   * content comes along. Without tag and digest, `latest` is meant. A mirror is asked what a tag means only if it may say so.
   */
  resolve(reference: Reference, options: ResolveOptions = {}): Promise<ResolvedManifest> {
    const operation = reference.digest === undefined ? 'resolve' : 'pull';
    return this.#atFirstOf(reference, operation, options, (endpoint, one) =>
      resolveManifest(this.#requester, endpoint, reference, one),
    );
  }

  /**
   * The manifest or index with a digest, verified, at most 4 MiB; `reference` names the repository.
   * @throws also LadingError `ERR_LADING_MANIFEST_INVALID`, `ERR_LADING_MANIFEST_SCHEMA1`
   */
  fetchManifest(reference: Reference, digest: Digest, options: CallOptions = {}): Promise<FetchedManifest> {
    return this.#atFirstOf(reference, 'pull', options, (endpoint, one) =>
      fetchManifest(this.#requester, endpoint, reference, digest, one),
    );
  }

  /**
   * A blob as a stream of its raw bytes, which goes on after a cut, at the next endpoint if there is one. Not verified:
   * hash what you keep.
   */
  fetchBlob(reference: Reference, descriptor: Descriptor, options: DownloadOptions = {}): Promise<BlobDownload> {
    return this.#blobs.fetch(reference, descriptor, options);
  }

  /** A small blob in memory, verified. */
  readBlob(reference: Reference, descriptor: Descriptor, options: ReadBlobOptions): Promise<Uint8Array> {
    return this.#blobs.read(reference, descriptor, options);
  }

  /** Whether the repository has the blob, where blobs are pushed to. */
  hasBlob(reference: Reference, descriptor: Pick<Descriptor, 'digest'>, options: CallOptions = {}): Promise<boolean> {
    return this.#atFirstOf(reference, 'push', options, (endpoint, one) =>
      hasBlob(this.#requester, endpoint, reference, descriptor, one),
    );
  }

  /** Sends a blob unless it is there; tells whether it was sent. `source` is called once for each attempt. */
  pushBlob(
    reference: Reference,
    descriptor: Descriptor,
    source: BlobSource,
    options: UploadOptions = {},
  ): Promise<boolean> {
    return this.#atFirstOf(reference, 'push', options, (endpoint, one) =>
      uploadBlob(this.#requester, endpoint, reference, descriptor, source, one),
    );
  }

  /**
   * Stores a manifest or an index under the reference's digest, else its tag, else `latest`. What it names must be
   * there. If it refers to a subject, it is found among that one's referrers afterwards.
   */
  pushManifest(reference: Reference, bytes: Uint8Array, mediaType: string, options: CallOptions = {}): Promise<Digest> {
    return this.#atFirstOf(reference, 'push', options, (endpoint, one) =>
      pushManifest(this.#requester, endpoint, reference, { bytes, mediaType }, one),
    );
  }

  /** All tags of the repository, in the registry's order. */
  listTags(reference: Pick<Reference, 'registry' | 'repository'>, options: CallOptions = {}): Promise<string[]> {
    return this.#atFirstOf(reference, 'resolve', options, (endpoint, one) =>
      listTags(this.#requester, endpoint, reference, one),
    );
  }

  /** The manifests that refer to a digest: signatures, SBOMs, …; none when the registry does not have it. */
  listReferrers(
    reference: Pick<Reference, 'registry' | 'repository'>,
    subject: Digest,
    { artifactType, ...options }: ReferrersOptions = {},
  ): Promise<readonly Descriptor[]> {
    const { repository } = reference;
    return this.#atFirstOf(reference, 'referrers', options, (endpoint, one) =>
      listReferrers({ requester: this.#requester, endpoint, repository, options: one }, subject, artifactType),
    );
  }

  /** Deletes the reference's digest with all its tags, else its tag; false when there was none. */
  deleteManifest(reference: Reference, options: CallOptions = {}): Promise<boolean> {
    return this.#atFirstOf(reference, 'push', options, (endpoint, one) =>
      deleteManifest(this.#requester, endpoint, reference, one),
    );
  }

  /**
   * Shows a credential to the registry itself, without asking for anything.
   * @returns false when the registry does not want any
   * @throws RegistryError `unauthorized`, `denied` when it refuses this one
   */
  async checkCredential(
    registry: string,
    credential: Credential,
    options: Pick<CallOptions, 'signal'> = {},
  ): Promise<boolean> {
    const endpoint = await this.#endpoints.itself(registry);
    return checkCredential(this.#requester, endpoint, credential, options);
  }

  /** Ends all connections and credential helpers at once; requests under way fail. */
  close(): Promise<void> {
    this.#credentials.close();
    return this.#transport.close();
  }

  async #atFirstOf<T, O extends CallOptions>(
    { registry }: Pick<Reference, 'registry'>,
    operation: Operation,
    options: O,
    attempt: (endpoint: Endpoint, options: O & SendOptions) => Promise<T>,
  ): Promise<T> {
    const walk = await this.#endpoints.walk(registry, operation, options.signal);
    const answered = options.watch?.asking();
    try {
      return await walk.run(({ endpoint }, one) => attempt(endpoint, { ...options, ...one }));
    } finally {
      answered?.();
    }
  }
}
