import type { Clock } from '../lib/clock.ts';
import { type ConnectionSettings, settingsElsewhere } from './connector.ts';
import { basicAuthorization, type Credential } from './credentials.ts';
import { bareHostname, type Endpoint, endpointName, isLoopback } from './endpoint.ts';
import { spellings } from './redact.ts';
import { follow } from './redirect.ts';
import type { BodyContent } from './response-body.ts';
import type { Retrier } from './retry.ts';
import { demandedFirst } from './scope.ts';
import { type Asked, contentError, faultError, type Refusal, statusError } from './status-error.ts';
import type { HttpRequest, Transport } from './transport.ts';
import { TransportFault } from './transport-fault.ts';

export interface TokenRequest {
  readonly endpoint: Endpoint;
  readonly realm: URL;
  readonly service: string | undefined;
  /** Merged. */
  readonly scopes: readonly string[];
  /** Those that the registry named. */
  readonly demanded: readonly string[];
  readonly credential: Credential | undefined;
}

export interface Token {
  readonly value: string;
  /** Milliseconds since 1970: from then on a new one is fetched. */
  readonly renewAt: number;
}

export interface TokenClientOptions {
  readonly transport: Transport;
  readonly retrier: Retrier;
  readonly clock: Clock;
}

/** The two ways to ask; each token server knows at least one. */
type Form = 'get' | 'post';

const clientId = 'lading';
const maxTokenBodyBytes = 1024 * 1024;
/** Shorter lives are not believed: a token must survive the request that it was fetched for. */
const minLifeMs = 60_000;
/** Nor are much longer ones made use of. */
const maxLifeMs = 24 * 60 * 60_000;
const tokenAttempts = 3;

/** Fetches bearer tokens from token servers. @see registry.md 3.4 */
export class TokenClient {
  readonly #options: TokenClientOptions;
  /** What worked, by realm and kind of credential. */
  readonly #forms = new Map<string, Form>();

  constructor(options: TokenClientOptions) {
    this.#options = options;
  }

  /** @throws RegistryError */
  async fetch(request: TokenRequest): Promise<Token> {
    const { credential, realm } = request;
    const usual: Form = credential?.identityToken === undefined ? 'get' : 'post';
    const other: Form = usual === 'get' ? 'post' : 'get';
    const key = `${usual} ${realm.origin}${realm.pathname}`;
    const form = this.#forms.get(key) ?? usual;
    let refusal = await this.#send(form, request);
    if (refusal.status === 200) return this.#parse(request, refusal);
    const refusedForms = usual === 'post' ? [400, 401, 404, 405] : [404, 405];
    if (credential && form === usual && refusedForms.includes(refusal.status)) {
      const second = await this.#send(other, request);
      if (second.status === 200) {
        this.#forms.set(key, other);
        return this.#parse(request, second);
      }
      // The usual form's answer says more about the credential than that of a form which may not exist there.
      if (second.status === 401 || second.status === 403) refusal = second;
    }
    throw statusError(askedFor(request), refusal, {
      retryAfterMs: this.#options.retrier.retryAfterMs(refusal),
      secrets: secretsOf(credential),
    });
  }

  async #send(form: Form, request: TokenRequest): Promise<TokenAnswer> {
    const { transport, retrier } = this.#options;
    const { url, authorization, body } = form === 'get' ? getForm(request) : postForm(request);
    const { endpoint } = request;
    const atHome = { ...(isSameHost(endpoint, url) && endpoint.headers), ...(authorization && { authorization }) };
    const http: HttpRequest = {
      method: form === 'get' ? 'GET' : 'POST',
      url,
      headers: body ? { 'content-type': 'application/x-www-form-urlencoded' } : {},
      ...(body && { body: { length: body.length, open: () => body } }),
      kind: 'token',
      registry: endpoint.registry,
      connection: connectionTo(url, endpoint),
      httpFallback: false,
    };
    try {
      const attempts = { host: url.host, attempts: tokenAttempts, repeatable: true, signal: undefined };
      return await retrier.run(attempts, async () => {
        const reply = await follow(transport, http, atHome);
        return reply.status === 200 ? { ...reply, content: await reply.body.read(maxTokenBodyBytes) } : reply;
      });
    } catch (error) {
      if (error instanceof TransportFault) throw faultError(askedFor(request), error);
      throw error;
    }
  }

  #parse(request: TokenRequest, { content }: TokenAnswer): Token {
    const receivedAt = this.#options.clock.now();
    const invalid = (problem: string) => contentError('protocol', askedFor(request), problem);
    if (!content?.complete) throw invalid(`the answer is larger than ${maxTokenBodyBytes} bytes`);
    let json: Record<string, unknown>;
    try {
      json = JSON.parse(content.bytes.toString('utf8')) ?? {};
    } catch {
      throw invalid('the answer is not JSON');
    }
    const value = json.token || json.access_token;
    if (typeof value !== 'string') throw invalid('there is no token in the answer');
    if (/[^\x21-\x7e]/.test(value)) throw invalid('the token has characters that no header can carry');
    const seconds = typeof json.expires_in === 'number' ? json.expires_in : 0;
    const lifeMs = Math.min(Math.max(minLifeMs, seconds * 1000), maxLifeMs);
    const usableMs = lifeMs - Math.max(5000, lifeMs / 10);
    const issuedAt = typeof json.issued_at === 'string' ? Date.parse(json.issued_at) : Number.NaN;
    const renewAt = Math.min(issuedAt, receivedAt) + usableMs;
    // No server gives out tokens that are over: its clock is behind ours.
    return { value, renewAt: renewAt > receivedAt ? renewAt : receivedAt + usableMs };
  }
}

interface TokenAnswer extends Refusal {
  /** Of a success. */
  readonly content?: BodyContent;
}

interface FilledForm {
  readonly url: URL;
  readonly authorization?: string;
  readonly body?: Buffer;
}

/** The URL of a token request; keeps the query of the realm. */
export function tokenUrl(
  request: Pick<TokenRequest, 'realm' | 'service' | 'scopes' | 'demanded'>,
  account?: string,
): URL {
  const url = new URL(request.realm);
  if (request.service !== undefined) url.searchParams.append('service', request.service);
  for (const scope of demandedFirst(request.scopes, request.demanded)) url.searchParams.append('scope', scope);
  if (account) url.searchParams.append('account', account);
  return url;
}

function getForm(request: TokenRequest): FilledForm {
  const { credential } = request;
  if (!credential) return { url: tokenUrl(request) };
  const { username, password = '', identityToken } = credential;
  const url = tokenUrl(request, username);
  if (identityToken === undefined) return { url, authorization: basicAuthorization(username ?? '', password) };
  return { url, authorization: basicAuthorization(username ?? '<token>', identityToken) };
}

function postForm({ realm, service, scopes, demanded, credential }: TokenRequest): FilledForm {
  const { username = '', password = '', identityToken } = credential ?? {};
  const fields = new URLSearchParams({
    ...(identityToken === undefined
      ? { grant_type: 'password', username, password }
      : { grant_type: 'refresh_token', refresh_token: identityToken }),
    service: service ?? '',
    client_id: clientId,
    scope: demandedFirst(scopes, demanded).join(' '),
  });
  return { url: realm, body: Buffer.from(fields.toString()) };
}

/** A token server on the registry's own host is part of it; any other one is another host. */
function connectionTo(realm: URL, endpoint: Endpoint): ConnectionSettings {
  const { connection } = endpoint;
  if (isSameHost(endpoint, realm)) return connection;
  const certificates = isLoopback(bareHostname(realm)) ? connection.certificates : 'verified';
  return { ...settingsElsewhere(connection), certificates };
}

function isSameHost({ scheme, host }: Endpoint, url: URL): boolean {
  return new URL(`${scheme}://${host}`).hostname === url.hostname;
}

function askedFor({ endpoint, realm, credential }: TokenRequest): Asked {
  return {
    registry: endpoint.registry,
    whom: `the token server ${realm.host} of ${endpointName(endpoint)}`,
    what: 'a token',
    credentials: credential ? [credential.origin] : [],
  };
}

function secretsOf(credential: Credential | undefined): string[] {
  const { username = '', password = '', identityToken = '' } = credential ?? {};
  const pairs = [
    [username, password],
    [username || '<token>', identityToken],
  ] as const;
  const encoded = pairs.map((pair) => basicAuthorization(...pair).slice('Basic '.length));
  return [password, ...encoded, ...spellings(password), ...spellings(identityToken)];
}
