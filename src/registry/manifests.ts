import { LadingError } from '../lib/errors.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { type Digest, digestAlgorithm, digestOf, isDigest } from '../oci/digest.ts';
import { parseManifest } from '../oci/manifest.ts';
import { bareMediaType, isIndexType, isManifestType, manifestAccept } from '../oci/media-types.ts';
import type { Reference } from '../oci/reference.ts';
import { bytesWithDigest, codingOf, decodedBytes } from './content-coding.ts';
import type { Endpoint } from './endpoint.ts';
import { addReferrer, type Referrer, referrerIn, removeReferrer } from './referrers-tag.ts';
import { RegistryError } from './registry-error.ts';
import type {
  CallOptions,
  ReadResponse,
  RegistryRequest,
  RegistryResponse,
  Requester,
  SendOptions,
} from './requester.ts';
import { repositoryScope } from './scope.ts';
import { contentError, statusError } from './status-error.ts';
import { headerOf } from './transport.ts';

export interface ResolvedManifest {
  readonly descriptor: Descriptor;
  /** From the question to the answer, authentication included. */
  readonly responseMs: number;
  /** Which endpoint said so: host with optional port. */
  readonly host: string;
  /** The verified manifest, where it was wanted or had to be fetched to resolve; it need not be fetched again. */
  readonly content?: Uint8Array;
}

export interface ResolveOptions extends CallOptions {
  /** Asks for the manifest along with what the tag means: one request instead of two, for who needs it in any case. */
  readonly withContent?: boolean | undefined;
}

export interface FetchedManifest {
  readonly bytes: Uint8Array;
  readonly mediaType: string;
}

/** What the distribution specification lets everybody rely on. @see registry.md 6.3 */
export const maxManifestBytes = 4 * 1024 * 1024;

/**
 * HEAD, which is short and which Docker Hub does not count as a pull; GET where HEAD fails or does not tell enough,
 * where the content is wanted, and for a digest.
 * @see registry.md 6.1
 */
export async function resolveManifest(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference,
  { withContent, ...options }: ResolveOptions & SendOptions,
): Promise<ResolvedManifest> {
  const startedAt = performance.now();
  const { host } = endpoint;
  const elapsed = () => performance.now() - startedAt;
  if (reference.digest !== undefined) {
    const { digest } = reference;
    const { bytes, mediaType } = await fetchManifest(requester, endpoint, reference, digest, options);
    return { descriptor: { mediaType, digest, size: bytes.length }, responseMs: elapsed(), host, content: bytes };
  }
  let rest = options;
  if (!withContent) {
    const request = { ...manifestRequest('HEAD', reference), accept: headStatuses };
    const head = await requester.send(endpoint, request, options);
    const responseMs = elapsed();
    const descriptor = head.status === 200 ? describedBy(head) : undefined;
    if (descriptor) {
      if (descriptor.size > maxManifestBytes) throw tooLarge(head);
      return { descriptor, responseMs, host };
    }
    // A HEAD that was answered 500 has been sent as often as a request is.
    if (head.status === 500) rest = { ...options, attempts: 1 };
  }
  const response = await requester.read(endpoint, manifestRequest('GET', reference), maxManifestBytes, rest);
  const received = manifestIn(response);
  const bytes = encodedOf(received, response) ?? received;
  const mediaType = mediaTypeOf(bytes, response);
  return {
    descriptor: { mediaType, digest: digestOf(bytes), size: bytes.length },
    responseMs: elapsed(),
    host,
    content: bytes,
  };
}

/** @throws RegistryError; LadingError `ERR_LADING_MANIFEST_INVALID`, `ERR_LADING_MANIFEST_SCHEMA1` */
export async function fetchManifest(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference,
  digest: Digest,
  options: SendOptions,
): Promise<FetchedManifest> {
  const request = manifestRequest('GET', { ...reference, digest });
  const response = await requester.read(endpoint, request, maxManifestBytes, options);
  const received = manifestIn(response);
  const coding = codingOf(headerOf(response, 'content-encoding'));
  const bytes = bytesWithDigest(received, digest, coding, maxManifestBytes);
  if (!bytes) {
    const actual = digestOf(received, digestAlgorithm(digest));
    throw contentError('digest-mismatch', response.asked, `its content has the digest ${actual}`, mismatchHint);
  }
  return { bytes, mediaType: mediaTypeOf(bytes, response) };
}

/**
 * The digest of what the registry has now; a registry that stored something else is an error. A manifest that refers to
 * another one is also listed where registries without an API for that are asked.
 * @see registry.md 10.2
 */
export async function pushManifest(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference,
  manifest: FetchedManifest,
  options: SendOptions,
): Promise<Digest> {
  const { bytes, mediaType } = manifest;
  const digest = digestOf(bytes, reference.digest && digestAlgorithm(reference.digest));
  const { repository } = reference;
  const response = await requester.send(
    endpoint,
    {
      ...manifestRequest('PUT', reference),
      headers: { 'content-type': mediaType },
      body: { length: bytes.length, open: () => bytes },
      scopes: [repositoryScope(repository, 'pull', 'push')],
      accept: [200, 201, 202],
    },
    options,
  );
  await response.body.discard();
  const stored = headerOf(response, 'docker-content-digest');
  const comparable = stored !== undefined && isDigest(stored) && digestAlgorithm(stored) === digestAlgorithm(digest);
  if (comparable && stored !== digest) {
    throw contentError('digest-mismatch', response.asked, `it stored ${stored} where ${digest} was sent`, mismatchHint);
  }
  const referrer = headerOf(response, 'oci-subject') === undefined ? referrerIn(bytes, mediaType, digest) : undefined;
  if (referrer) await addReferrer({ requester, endpoint, repository, options }, referrer);
  return digest;
}

/**
 * Deletes a tag, or a manifest with all its tags; false when there was none.
 * @throws RegistryError `unsupported` where the registry does not delete, or not tags
 * @see registry.md 10.5
 */
export async function deleteManifest(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference,
  options: SendOptions,
): Promise<boolean> {
  const { repository } = reference;
  const { digest } = reference;
  const referrer = digest && (await readReferrer(requester, endpoint, { ...reference, digest }, options));
  const response = await requester.send(
    endpoint,
    {
      ...manifestRequest('DELETE', reference),
      scopes: [repositoryScope(repository, 'delete')],
      scopeRule: 'as-demanded',
      accept: [200, 202, 204, 400, 404, 405],
    },
    options,
  );
  const { status } = response;
  if (status === 400 || status === 405) throw notDeleted(response, reference);
  await response.body.discard();
  if (referrer) await removeReferrer({ requester, endpoint, repository, options }, referrer);
  return status !== 404;
}

/** A digest that is not deleted may have a reason of its own, such as a tag that still names it. */
function notDeleted(response: RegistryResponse, { digest }: Reference): RegistryError {
  const refusal = statusError(response.asked, response);
  const { status, registryCode } = refusal.data;
  if (digest !== undefined && status === 400 && registryCode !== undefined && registryCode !== 'UNSUPPORTED')
    return refusal;
  const [what, hint] =
    digest === undefined
      ? ['tags', 'Delete the digest; that removes all its tags.']
      : ['manifests', 'The operator of the registry may be able to switch deletion on.'];
  const { kind: _, ...data } = refusal.data;
  return new RegistryError('unsupported', `${refusal.message}; it does not delete ${what}`, data, { hint });
}

/** What a manifest that is about to be deleted refers to, if it is there and does. */
async function readReferrer(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference & { readonly digest: Digest },
  options: SendOptions,
): Promise<Referrer | undefined> {
  const request = { ...manifestRequest('GET', reference), accept: [200, 404] };
  const response = await requester.read(endpoint, request, maxManifestBytes, options);
  if (response.status === 404) return undefined;
  return referrerIn(manifestIn(response), headerOf(response, 'content-type') ?? '', reference.digest);
}

/**
 * What a HEAD may say without being the last word: it has no body to explain itself, and some registries do not
 * implement it.
 */
const headStatuses = [200, 204, 400, 402, 403, 404, 405, 406, 410, 415, 422, 500, 501];
const mismatchHint = 'The registry, or something between here and it, changes or damages content.';

function manifestRequest(method: RegistryRequest['method'], reference: Reference): RegistryRequest {
  const { repository, digest, tag = 'latest' } = reference;
  return {
    method,
    target: `/${repository}/manifests/${digest ?? tag}`,
    repository,
    headers: { accept: manifestAccept.join(', ') },
    kind: 'manifest',
    what: `the manifest ${repository}${digest === undefined ? `:${tag}` : `@${digest}`}`,
    scopes: [repositoryScope(repository, 'pull')],
    accept: [200],
    repeatable: true,
  };
}

/** Undefined when it does not tell enough. No manifest is empty: some servers give a HEAD the length of its own body. */
function describedBy(head: RegistryResponse): Descriptor | undefined {
  const mediaType = bareMediaType(headerOf(head, 'content-type') ?? '');
  const digest = headerOf(head, 'docker-content-digest');
  const length = headerOf(head, 'content-length');
  if (!isIndexType(mediaType) && !isManifestType(mediaType)) return undefined;
  if (digest === undefined || !isDigest(digest) || length === undefined || !/^[1-9]\d*$/.test(length)) return undefined;
  if (codingOf(headerOf(head, 'content-encoding')) !== undefined) return undefined; // its length is another one
  return { mediaType, digest, size: Number(length) };
}

function manifestIn(response: ReadResponse): Uint8Array {
  const { bytes, complete } = response.content;
  if (!complete) throw tooLarge(response);
  return bytes;
}

/** What a tag's answer decodes to; the digest header is not trusted, but tells whether decoding is needed. */
function encodedOf(received: Uint8Array, response: RegistryResponse): Uint8Array | undefined {
  const coding = codingOf(headerOf(response, 'content-encoding'));
  return headerOf(response, 'docker-content-digest') === digestOf(received)
    ? undefined
    : decodedBytes(received, coding, maxManifestBytes);
}

function mediaTypeOf(bytes: Uint8Array, response: RegistryResponse): string {
  try {
    return parseManifest(bytes, headerOf(response, 'content-type')).mediaType;
  } catch (error) {
    if (!(error instanceof LadingError)) throw error;
    const { what, whom } = response.asked;
    throw new LadingError(error.code, `${what} of ${whom}: ${error.message}`, {
      hint: error.hint,
      cause: error,
      data: error.data,
    });
  }
}

function tooLarge({ asked }: RegistryResponse) {
  return contentError('too-large', asked, `it is larger than ${maxManifestBytes} bytes, the limit for manifests`);
}
