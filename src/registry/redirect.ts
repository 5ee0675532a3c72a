import { type ConnectionSettings, settingsElsewhere } from './connector.ts';
import { bareHostname, isLoopback } from './endpoint.ts';
import { type HttpRequest, type HttpResponse, headerOf, type RequestHeaders, type Transport } from './transport.ts';
import { TransportFault } from './transport-fault.ts';

export interface FollowedResponse extends HttpResponse {
  /** The first URL that answered: the endpoint's own. */
  readonly home: URL;
  /** The answer comes from another host or port than `home`, which was not shown any credential. */
  readonly foreign: boolean;
  /** The beginning of the body of an error; empty for a success, whose body is left to be read. */
  readonly errorBody: Uint8Array;
}

const maxRedirects = 10;
const maxErrorBodyBytes = 64 * 1024;

/**
 * Sends a request and follows redirects. The headers `atHome`, such as Authorization, go to the first host and port
 * only, and not from https to http; everything else, `Range` above all, goes along.
 * @throws TransportFault
 * @see registry.md 3.6
 */
export async function follow(
  transport: Transport,
  request: HttpRequest,
  atHome: RequestHeaders = {},
): Promise<FollowedResponse> {
  const withAll = (next: HttpRequest): HttpRequest => ({ ...next, headers: { ...atHome, ...next.headers } });
  let hop = withAll(request);
  let home: URL | undefined;
  for (let redirects = 0; ; redirects += 1) {
    const response = await transport.exchange(hop);
    home ??= response.url;
    const target = redirectTarget(response, request);
    if (!target) return finished(response, request, home);
    await response.body.discard();
    if (redirects === maxRedirects) throw protocolFault(`it redirects more than ${maxRedirects} times`);
    const next = { ...request, url: target, httpFallback: false, connection: connectionTo(target, home, request) };
    hop = isAtHome(target, home) ? withAll(next) : next;
  }
}

async function finished(response: HttpResponse, { method }: HttpRequest, home: URL): Promise<FollowedResponse> {
  const hasErrorBody = response.status >= 400 && method !== 'HEAD';
  const errorBody = hasErrorBody ? await response.body.beginning(maxErrorBodyBytes) : new Uint8Array();
  return { ...response, home, foreign: !isAtHome(response.url, home), errorBody };
}

function redirectTarget({ status, url, headers }: HttpResponse, request: HttpRequest): URL | undefined {
  const readOnly = request.method === 'GET' || request.method === 'HEAD';
  const statuses = readOnly ? [301, 302, 303, 307, 308] : [307, 308];
  if (!statuses.includes(status)) return undefined;
  if (request.kind === 'token' && !readOnly) return undefined; // its body is the secret
  const location = headerOf({ headers }, 'location');
  if (location === undefined || !URL.canParse(location, url.href)) {
    throw protocolFault(`it redirects (${status}) without a usable Location`);
  }
  const target = new URL(location, url);
  if (target.protocol !== 'http:' && target.protocol !== 'https:') {
    throw protocolFault(`it redirects to ${target.protocol}`);
  }
  // Blobs are verified by digest, whoever sends them; nothing else is.
  if (url.protocol === 'https:' && target.protocol === 'http:' && request.kind !== 'blob') {
    throw protocolFault(`it redirects from https to http (${target.host})`);
  }
  return target;
}

function isAtHome(url: URL, home: URL): boolean {
  return url.host === home.host && (url.protocol === home.protocol || url.protocol === 'https:');
}

function connectionTo(target: URL, home: URL, { connection, kind }: HttpRequest): ConnectionSettings {
  if (target.hostname === home.hostname) return connection;
  const settings = settingsElsewhere(connection);
  // Nothing but a blob, which is verified by its digest, may come from another host whose certificate is not checked.
  const anyCertificate = kind === 'blob' || isLoopback(bareHostname(target));
  return anyCertificate ? { ...settings, certificates: connection.certificates } : settings;
}

function protocolFault(message: string): TransportFault {
  return new TransportFault('protocol', message, false, undefined);
}
