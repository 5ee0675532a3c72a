import { debugLog } from '../lib/debug.ts';
import type { Descriptor } from '../oci/descriptor.ts';
import { digestAlgorithm } from '../oci/digest.ts';
import type { Reference } from '../oci/reference.ts';
import type { Endpoint } from './endpoint.ts';
import { RegistryError } from './registry-error.ts';
import type { RegistryRequest, RegistryResponse, Requester, SendOptions } from './requester.ts';
import { repositoryScope } from './scope.ts';
import { contentError } from './status-error.ts';
import { headerOf } from './transport.ts';

const log = debugLog('registry');

/** What an upload needs to know about where it goes. */
export interface UploadTarget {
  readonly requester: Requester;
  readonly endpoint: Endpoint;
  readonly repository: string;
  readonly descriptor: Pick<Descriptor, 'digest' | 'size'>;
  readonly options: SendOptions;
}

/** The registry has lost what it had, or cannot say how far it came: begin anew. */
export class SessionLost extends Error {}

/** A place for the content of one blob that the registry has made. */
export interface UploadSession {
  /** Where the next bytes go. */
  readonly location: URL;
  /** The registry wants chunks of at least so many bytes, but for the last one. */
  readonly minChunkBytes: number;
}

/** Begins an upload. @param mountFrom a repository that has the blob @returns undefined when it was mounted instead */
export async function openSession(
  upload: UploadTarget,
  mountFrom: string | undefined,
): Promise<UploadSession | undefined> {
  const mounting = mountFrom === undefined ? undefined : await mount(upload, mountFrom);
  if (mounting === 'mounted') return undefined;
  if (mounting) return mounting;
  const { requester, endpoint, repository, descriptor, options } = upload;
  const algorithm = digestAlgorithm(descriptor.digest);
  const query = algorithm === 'sha256' ? '' : `?digest-algorithm=${algorithm}`;
  const request = uploadRequest({ repository }, 'POST', `/${repository}/blobs/uploads/${query}`);
  const response = await requester.send(endpoint, { ...request, accept: [200, 201, 202, 204] }, options);
  await response.body.discard();
  return sessionOf(response);
}

/**
 * Undefined when the registry does not want to, whatever it says, and when its token server gives no token for the other
 * repository: then the content is sent.
 */
async function mount(
  { requester, endpoint, repository, descriptor, options }: UploadTarget,
  from: string,
): Promise<UploadSession | 'mounted' | undefined> {
  const target = `/${repository}/blobs/uploads/?mount=${descriptor.digest}&from=${from}`;
  const request = uploadRequest({ repository }, 'POST', target);
  const scopes = [...request.scopes, repositoryScope(from, 'pull')];
  let response: RegistryResponse;
  try {
    response = await requester.send(endpoint, { ...request, scopes, accept: [201, 202] }, options);
  } catch (error) {
    if (!(error instanceof RegistryError)) throw error;
    log('%s is not mounted from %s: %s', descriptor.digest, from, error.message);
    return undefined;
  }
  await response.body.discard();
  return response.status === 201 ? 'mounted' : sessionOf(response);
}

/** Ends an upload: the registry has all the content, or gets it now. @throws SessionLost; RegistryError */
export async function finishSession(
  { requester, endpoint, repository, descriptor, options }: UploadTarget,
  location: URL,
  body: RegistryRequest['body'],
): Promise<void> {
  const { digest } = descriptor;
  const target = new URL(location);
  target.searchParams.set('digest', digest);
  const response = await requester.send(
    endpoint,
    {
      ...uploadRequest({ repository }, 'PUT', target),
      headers: { 'content-type': 'application/octet-stream' },
      body,
      what: `the upload of blob ${digest} to ${repository}`,
      accept: [200, 201, 204, 404],
    },
    options,
  );
  await response.body.discard();
  if (response.status === 404) throw new SessionLost('it does not know the upload');
}

/** Tells the registry that nothing more will come. It may not care, and neither do we. */
export async function abandonSession(upload: UploadTarget, location: URL): Promise<void> {
  const { requester, endpoint, repository, options } = upload;
  const request = { ...uploadRequest({ repository }, 'DELETE', location), accept: [200, 202, 204, 404, 405] };
  try {
    const signal = AbortSignal.timeout(abandonTimeoutMs);
    const response = await requester.send(endpoint, request, { ...options, signal });
    await response.body.discard();
  } catch {
    // It clears up after some days by itself.
  }
}

/** The caller waits for it with an error in its hands. */
const abandonTimeoutMs = 2000;

export function uploadRequest(
  { repository }: Pick<Reference, 'repository'>,
  method: RegistryRequest['method'],
  target: string | URL,
): RegistryRequest {
  return {
    method,
    target,
    repository,
    kind: 'upload',
    what: `an upload to ${repository}`,
    scopes: [repositoryScope(repository, 'pull', 'push')],
    accept: [],
    repeatable: false,
  };
}

export function locationOf(response: RegistryResponse): URL {
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

function sessionOf(response: RegistryResponse): UploadSession {
  const minimum = headerOf(response, 'oci-chunk-min-length') ?? '0';
  return { location: locationOf(response), minChunkBytes: /^\d+$/.test(minimum) ? Number(minimum) : 0 };
}
