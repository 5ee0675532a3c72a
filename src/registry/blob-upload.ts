import type { Descriptor } from '../oci/descriptor.ts';
import { digestAlgorithm } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import { hasBlob } from './blob-read.ts';
import type { Endpoint } from './endpoint.ts';
import { RegistryError } from './registry-error.ts';
import type { CallOptions, RegistryRequest, RegistryResponse, Requester } from './requester.ts';
import { maxRetryAfterMs } from './retry.ts';
import { repositoryScope } from './scope.ts';
import { contentError } from './status-error.ts';
import { headerOf } from './transport.ts';

/** The content of a blob; called again when it must be sent again. */
export type BlobSource = () => AsyncIterable<Uint8Array> | Uint8Array;

export interface UploadOptions extends CallOptions {
  /** A repository of the same registry that has the blob: then it is linked instead of sent, where that is allowed. */
  readonly mountFrom?: string;
}

/**
 * Sends a blob in one piece, unless the registry has it. Tried anew from the start when the connection or the registry
 * fails, since an upload session may not survive that.
 * @returns whether it was sent
 * @see registry.md 10.1
 */
export async function uploadBlob(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference,
  descriptor: Descriptor,
  source: BlobSource,
  options: UploadOptions,
): Promise<boolean> {
  if (await hasBlob(requester, endpoint, reference, descriptor, options, 'push')) return false;
  const { retrier } = requester;
  for (let attempt = 1; ; attempt += 1) {
    try {
      const session = await openSession(requester, endpoint, reference, descriptor, options);
      if (session) await sendContent(requester, endpoint, reference, descriptor, source, session, options);
      return session !== undefined;
    } catch (error) {
      if (!(error instanceof RegistryError) || !error.data.unreachable || attempt >= retrier.attempts) throw error;
      const { retryAfterMs = retrier.backoffMs(attempt) } = error.data;
      if (retryAfterMs > maxRetryAfterMs) throw error;
      await retrier.sleep(retryAfterMs, options.signal);
    }
  }
}

/** Where to send the content; undefined when the blob was mounted. */
async function openSession(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference,
  { digest }: Descriptor,
  { mountFrom, ...options }: UploadOptions,
): Promise<URL | undefined> {
  const { repository } = reference;
  const request = uploadRequest(reference, 'POST', `/${repository}/blobs/uploads/`);
  if (mountFrom !== undefined) {
    const response = await requester.send(
      endpoint,
      {
        ...request,
        target: `/${repository}/blobs/uploads/?mount=${digest}&from=${mountFrom}`,
        scopes: [...request.scopes, repositoryScope(mountFrom, 'pull')],
        accept: [201, 202, 401, 403, 404, 405],
      },
      options,
    );
    await response.body.discard();
    if (response.status === 201) return undefined;
    if (response.status === 202) return locationOf(response);
  }
  const algorithm = digestAlgorithm(digest);
  const query = algorithm === 'sha256' ? '' : `?digest-algorithm=${algorithm}`;
  const target = `/${repository}/blobs/uploads/${query}`;
  const response = await requester.send(endpoint, { ...request, target, accept: [200, 201, 202, 204] }, options);
  await response.body.discard();
  return locationOf(response);
}

async function sendContent(
  requester: Requester,
  endpoint: Endpoint,
  reference: Reference,
  { digest, size }: Descriptor,
  source: BlobSource,
  session: URL,
  options: CallOptions,
): Promise<void> {
  const target = new URL(session);
  target.searchParams.set('digest', digest);
  const request: RegistryRequest = {
    ...uploadRequest(reference, 'PUT', target),
    headers: { 'content-type': 'application/octet-stream' },
    body: { length: size, open: source },
    what: `the upload of blob ${digest} to ${reference.repository}`,
    accept: [200, 201, 204],
  };
  const response = await requester.send(endpoint, request, options);
  await response.body.discard();
}

function uploadRequest({ repository }: Reference, method: 'POST' | 'PUT', target: string | URL): RegistryRequest {
  return {
    method,
    target,
    kind: 'upload',
    what: `an upload to ${repository}`,
    scopes: [repositoryScope(repository, 'pull', 'push')],
    accept: [],
    repeatable: false,
  };
}

function locationOf(response: RegistryResponse): URL {
  const location = headerOf(response, 'location');
  if (location === undefined || !URL.canParse(location, response.url.href)) {
    throw contentError('protocol', response.asked, 'it does not say where to send the content (Location)');
  }
  const url = new URL(location, response.url);
  if (response.url.protocol === 'https:' && url.protocol !== 'https:') {
    throw contentError(
      'protocol',
      response.asked,
      `it wants the content at ${url.origin}, unencrypted`,
      'A registry behind a proxy must be told its own https address.',
    );
  }
  return url;
}
