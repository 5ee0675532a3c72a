import { Authenticator, type AuthorizedCall, type Outcome } from './authenticator.ts';
import { settingsElsewhere } from './connector.ts';
import { type CredentialStore, originsOf } from './credential-store.ts';
import type { Credential } from './credentials.ts';
import { type Endpoint, endpointName, endpointUrl } from './endpoint.ts';
import { spellings } from './redact.ts';
import { type FollowedResponse, follow } from './redirect.ts';
import { RegistryError } from './registry-error.ts';
import type { BodyContent } from './response-body.ts';
import { maxRetryAfterMs, type Retrier } from './retry.ts';
import { type Asked, faultError, statusError } from './status-error.ts';
import type { TokenCache } from './token-cache.ts';
import type { HttpRequest, Transport } from './transport.ts';
import { TransportFault } from './transport-fault.ts';
import type { Warnings } from './warnings.ts';

export interface RegistryRequest {
  readonly method: HttpRequest['method'];
  /** Below the root of the API: `/team/app/manifests/1.0`, with a query; or a whole URL that the registry gave. */
  readonly target: string | URL;
  /** Of the reference; decides which of several credentials is meant. */
  readonly repository: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: HttpRequest['body'];
  readonly kind: HttpRequest['kind'];
  /** What is asked for, in messages: `the manifest team/app:1.0`. */
  readonly what: string;
  readonly scopes: readonly string[];
  readonly scopeRule?: AuthorizedCall['scopeRule'];
  readonly loginRule?: AuthorizedCall['loginRule'];
  /** Statuses that the caller can use; all others are errors. */
  readonly accept: readonly number[];
  /** Whether sending it twice does no more than sending it once. */
  readonly repeatable: boolean;
}

/** Follows calls, to tell one that the network keeps waiting from one that waits its turn. */
export interface RequestWatch {
  /** From now on a registry is asked, until the result is called. */
  asking(): () => void;
  /** Bytes of what was asked for have come in. */
  moved(): void;
}

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
  readonly watch?: RequestWatch | undefined;
  /** For this call, tried in order, instead of what the client's source knows; an empty list means anonymous. */
  readonly credentials?: readonly Credential[] | undefined;
}

/** What the endpoints around a request add to what its caller wants. */
export interface SendOptions extends CallOptions {
  /** Fewer than usual, since other endpoints can be asked. */
  readonly attempts?: number;
}

/** An accepted answer, with the context for errors that show in its body. */
export interface RegistryResponse extends FollowedResponse {
  readonly asked: Asked;
}

export interface ReadResponse extends RegistryResponse {
  readonly content: BodyContent;
}

const noContent: BodyContent = { bytes: Buffer.alloc(0), complete: true };

export interface RequesterOptions {
  readonly transport: Transport;
  readonly retrier: Retrier;
  readonly tokens: TokenCache;
  readonly credentials: CredentialStore;
  readonly warnings: Warnings;
}

/** Sends requests to an endpoint: with retries, authentication and redirects, until an answer is accepted or final. */
export class Requester {
  readonly #transport: Transport;
  readonly #retrier: Retrier;
  readonly #authenticator: Authenticator;
  readonly #warnings: Warnings;

  constructor({ transport, retrier, tokens, credentials, warnings }: RequesterOptions) {
    this.#transport = transport;
    this.#retrier = retrier;
    this.#warnings = warnings;
    this.#authenticator = new Authenticator({ tokens, credentials, ping: (endpoint) => this.#ping(endpoint) });
  }

  get retrier(): Retrier {
    return this.#retrier;
  }

  /** @throws RegistryError; LadingError of the credential source; the signal's reason when it is aborted */
  send(endpoint: Endpoint, request: RegistryRequest, options: SendOptions = {}): Promise<RegistryResponse> {
    return this.#send(endpoint, request, options, async (reply) => reply);
  }

  /** The same with the beginning of what a 200 brings: an answer that is cut counts as none, and is asked for again. */
  read(
    endpoint: Endpoint,
    request: RegistryRequest,
    maxBytes: number,
    options: SendOptions = {},
  ): Promise<ReadResponse> {
    return this.#send(endpoint, request, options, async (reply) => {
      return { ...reply, content: reply.status === 200 ? await reply.body.read(maxBytes) : noContent };
    });
  }

  async #send<R extends FollowedResponse>(
    endpoint: Endpoint,
    request: RegistryRequest,
    options: SendOptions,
    take: (reply: FollowedResponse) => Promise<R>,
  ): Promise<R & RegistryResponse> {
    const { signal, watch, credentials, attempts } = options;
    const { repository, scopes, scopeRule = 'union', loginRule = 'when-demanded', repeatable, target } = request;
    const call: AuthorizedCall = { endpoint, repository, scopes, scopeRule, loginRule, credentials, signal };
    const host = target instanceof URL ? target.host : endpoint.host;
    let outcome: Outcome | undefined;
    let taken: R | undefined;
    const askedSoFar = (): Asked => ({
      registry: endpoint.registry,
      whom: endpointName(endpoint),
      what: request.what,
      credentials: originsOf(outcome?.offered ?? []),
    });
    let reply: FollowedResponse;
    try {
      reply = await this.#retrier.run({ host, attempts, repeatable, signal }, async () => {
        outcome = await this.#authenticator.run(call, (authorization) =>
          this.#exchange(endpoint, request, { signal, watch }, authorization),
        );
        taken = request.accept.includes(outcome.reply.status) ? await take(outcome.reply) : undefined;
        return outcome.reply;
      });
    } catch (error) {
      if (error instanceof TransportFault) throw faultError(askedSoFar(), error);
      throw error;
    }
    const asked = askedSoFar();
    if (!reply.foreign) this.#warnings.sayThoseOf(endpoint.registry, reply);
    if (taken) return { ...taken, asked };
    throw this.#refused(reply, asked, secretsIn(endpoint, outcome?.authorization));
  }

  async #ping(endpoint: Endpoint): Promise<FollowedResponse> {
    const reply = await this.#exchange(endpoint, pingRequest, { signal: undefined });
    await reply.body.discard();
    return reply;
  }

  /** With one more try at the registry when a storage host refuses: its signed URL has expired. */
  async #exchange(
    endpoint: Endpoint,
    request: Exchangeable,
    { signal, watch }: Pick<HttpRequest, 'signal' | 'watch'>,
    authorization?: string,
  ): Promise<FollowedResponse> {
    const url = urlOf(endpoint, request.target);
    // A registry may name another host for the rest of an upload: that host is shown nothing.
    const elsewhere = url.host !== urlOf(endpoint, '/').host;
    const http: HttpRequest = {
      method: request.method,
      url,
      headers: request.headers ?? {},
      body: request.body,
      kind: request.kind,
      registry: endpoint.registry,
      connection: elsewhere ? settingsElsewhere(endpoint.connection) : endpoint.connection,
      httpFallback: endpoint.httpFallback && !elsewhere,
      signal,
      watch,
    };
    const atHome = { ...endpoint.headers, ...(authorization !== undefined && { authorization }) };
    const send = async (): Promise<FollowedResponse> => {
      const reply = await follow(this.#transport, http, elsewhere ? {} : atHome);
      return { ...reply, foreign: reply.foreign || elsewhere };
    };
    const reply = await send();
    return reply.foreign && (reply.status === 401 || reply.status === 403) ? send() : reply;
  }

  #refused(reply: FollowedResponse, asked: Asked, secrets: readonly string[]): RegistryError {
    const retryAfterMs = this.#retrier.retryAfterMs(reply);
    const whom = reply.foreign ? `${reply.url.host}, where ${asked.whom} redirects to,` : asked.whom;
    // A storage host was shown no credentials, whatever the registry was shown.
    const credentials = reply.foreign ? [] : asked.credentials;
    const error = statusError({ ...asked, whom, credentials, elsewhere: reply.foreign }, reply, {
      retryAfterMs,
      secrets,
    });
    if (retryAfterMs === undefined || retryAfterMs <= maxRetryAfterMs) return error;
    const { kind, unreachable: _, ...data } = error.data;
    const message = `${error.message}; it asks to wait ${Math.ceil(retryAfterMs / 1000)} s`;
    return new RegistryError(kind, message, data, { hint: error.hint });
  }
}

type Exchangeable = Pick<RegistryRequest, 'method' | 'target' | 'headers' | 'body' | 'kind'>;

const pingRequest: Exchangeable = { method: 'GET', target: '/', kind: 'ping' };

function urlOf(endpoint: Endpoint, target: string | URL): URL {
  if (target instanceof URL) return target;
  const text = endpointUrl(endpoint, target);
  if (URL.canParse(text)) return new URL(text);
  const { registry, host } = endpoint;
  throw new RegistryError(
    'no-such-host',
    `${JSON.stringify(host)} is not an address that can be asked`,
    { registry },
    { hint: 'A registry is HOST or HOST:PORT, with a port up to 65535.' },
  );
}

function secretsIn({ headers }: Endpoint, authorization: string | undefined): string[] {
  const configured = Object.values(headers).flat().flatMap(spellings);
  if (authorization === undefined) return configured;
  const secret = authorization.slice(authorization.indexOf(' ') + 1);
  if (!authorization.startsWith('Basic ')) return [...configured, secret];
  const pair = Buffer.from(secret, 'base64').toString('utf8');
  const password = pair.slice(pair.indexOf(':') + 1);
  return [...configured, secret, password, ...spellings(password)];
}
