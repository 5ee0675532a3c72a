import { channel } from 'node:diagnostics_channel';
import type { LookupFunction } from 'node:net';
import type { Readable } from 'node:stream';
import { unlessAborted } from '../lib/abort.ts';
import { debugLog } from '../lib/debug.ts';
import { errorCode } from '../lib/errors.ts';
import { type Answer, send } from './answer.ts';
import { type ConnectionSettings, connectTimeoutCode, handshakeTimeoutCode, type TlsOptions } from './connector.ts';
import { Dispatchers } from './dispatchers.ts';
import { type ProxyChooser, proxyName } from './proxy.ts';
import { type RateLimit, rateLimitOf } from './rate-limit.ts';
import { redactedPath } from './redact.ts';
import { ResponseBody } from './response-body.ts';
import { saysNotTls, TransportFault, transportFault } from './transport-fault.ts';

export type RequestKind = 'ping' | 'manifest' | 'blob' | 'token' | 'upload' | 'tags' | 'other';

/** One HTTP exchange that has ended, well or not. */
export interface RequestRecord {
  /** The registry of the reference. */
  readonly registry: string;
  /** The host that was asked: the registry's, a token server's, a storage host's. */
  readonly host: string;
  readonly method: string;
  /** With the query; values that may be secret are hidden. */
  readonly path: string;
  readonly kind: RequestKind;
  /** Undefined when no answer came. */
  readonly status: number | undefined;
  /** Until the end of the body. */
  readonly durationMs: number;
  /** Bytes of the body that were received. */
  readonly bytes: number;
  /** What the answer says about the user's limit, where it does. */
  readonly rateLimit?: RateLimit;
}

/** Values of headers by name, in lower case. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[]>>;

/** A body that can be sent again, since a 401 or a redirect may come after it. */
export interface RequestBody {
  readonly length: number;
  readonly open: () => AsyncIterable<Uint8Array> | Uint8Array;
}

export interface HttpRequest {
  readonly method: 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: RequestHeaders;
  readonly body?: RequestBody | undefined;
  readonly kind: RequestKind;
  readonly registry: string;
  readonly connection: ConnectionSettings;
  /** Try http at the same host and port when what answers is not TLS. */
  readonly httpFallback: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Told of the bytes of an answer that is no error. */
  readonly watch?: { moved(): void } | undefined;
}

export interface HttpResponse {
  readonly status: number;
  /** What was asked in the end: http after a fallback, the last one of a chain of redirects. */
  readonly url: URL;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: ResponseBody;
}

/** Limits on silence; there is none on the whole of a transfer. @see registry.md 9.1 */
export interface Timeouts {
  readonly connectMs: number;
  readonly handshakeMs: number;
  /** Until the headers of the answer to a HEAD or a token request. */
  readonly quickAnswerMs: number;
  /** Until the headers of any other answer, after the request's body. */
  readonly answerMs: number;
  /** Between two pieces of a body. */
  readonly idleMs: number;
}

export const defaultTimeouts: Timeouts = {
  connectMs: 30_000,
  handshakeMs: 10_000,
  quickAnswerMs: 30_000,
  answerMs: 60_000,
  idleMs: 60_000,
};

export interface TransportOptions {
  readonly timeouts: Timeouts;
  readonly tls: TlsOptions;
  readonly lookup: LookupFunction | undefined;
  readonly receiveBytes: number;
  readonly proxyFor: ProxyChooser;
  readonly userAgent: string;
  readonly onRequest: ((record: RequestRecord) => void) | undefined;
}

const requests = channel('lading:registry:request');
const rateLimits = channel('lading:registry:rate-limit');
const log = debugLog('registry');

/** Sends single requests over kept-alive connections and reports each of them; follows nothing, repeats nothing. */
export class Transport {
  readonly #options: TransportOptions;
  readonly #dispatchers: Dispatchers;
  /** Hosts that answered in plain http, after https had failed there. */
  readonly #plainHosts = new Set<string>();

  constructor(options: TransportOptions) {
    this.#options = options;
    this.#dispatchers = new Dispatchers(options);
  }

  /** @throws TransportFault; whatever reading the request's body throws; the signal's reason when it is aborted */
  async exchange(request: HttpRequest): Promise<HttpResponse> {
    const { url, httpFallback } = request;
    if (!httpFallback || url.protocol !== 'https:') return this.#attempt(request);
    if (this.#plainHosts.has(url.host)) return this.#attempt(asPlainHttp(request));
    try {
      return await this.#attempt(request);
    } catch (fault) {
      if (!(fault instanceof Error) || !noTlsThere(fault.cause, url)) throw fault;
    }
    log('%s does not speak TLS: trying http', url.host);
    const response = await this.#attempt(asPlainHttp(request));
    this.#plainHosts.add(url.host);
    return response;
  }

  /** Ends all connections at once; requests under way fail. */
  async close(): Promise<void> {
    await this.#dispatchers.destroy();
  }

  async #attempt(request: HttpRequest): Promise<HttpResponse> {
    const { url, method, kind, signal } = request;
    signal?.throwIfAborted();
    const { quickAnswerMs, answerMs, idleMs } = this.#options.timeouts;
    const headersTimeout = method === 'HEAD' || kind === 'token' ? quickAnswerMs : answerMs;
    const startedAt = performance.now();
    const finished = (status: number | undefined, bytes: number, rateLimit?: RateLimit) => {
      const durationMs = performance.now() - startedAt;
      this.#report(request, { status, bytes, durationMs, ...(rateLimit && { rateLimit }) });
    };
    const proxy = this.#options.proxyFor(url);
    let answer: Answer;
    let bodyFailure: { readonly error: unknown } | undefined;
    const body = openBody(request.body, (error) => {
      bodyFailure = { error };
    });
    try {
      const sent = send(
        this.#dispatchers.get(request.connection, proxy),
        {
          origin: url.origin,
          path: url.pathname + url.search,
          method,
          headers: this.#headers(request),
          body,
          headersTimeout,
          bodyTimeout: idleMs,
          reset: false, // undici closes the connection after a HEAD otherwise
        },
        { signal, onInterim: interimLimit(headersTimeout) },
      );
      answer = await unlessAborted(sent, signal); // a connection that is being made does not look at the signal
    } catch (error) {
      if (!(request.httpFallback && noTlsThere(error, url))) finished(undefined, 0);
      signal?.throwIfAborted();
      if (bodyFailure) throw bodyFailure.error;
      throw transportFault(error, proxy && proxyName(proxy));
    }
    const { statusCode, headers } = answer;
    const rateLimit = rateLimitOf({ headers });
    const onEnd = (bytes: number) => finished(statusCode, bytes, rateLimit);
    const onBytes = statusCode < 300 ? () => request.watch?.moved() : () => {};
    const responseBody = new ResponseBody(answer.body, { signal, onBytes, onEnd });
    if (method === 'HEAD') await responseBody.discard();
    return { status: statusCode, url, headers, body: responseBody };
  }

  #headers({ headers, body }: HttpRequest): Record<string, string | string[]> {
    return {
      'user-agent': this.#options.userAgent,
      'accept-encoding': 'identity',
      ...(headers as Record<string, string | string[]>),
      ...(body && { 'content-length': String(body.length) }),
    };
  }

  #report(request: HttpRequest, ended: Pick<RequestRecord, 'status' | 'bytes' | 'durationMs' | 'rateLimit'>): void {
    const { registry, method, url, kind } = request;
    const record: RequestRecord = { registry, host: url.host, method, path: redactedPath(url), kind, ...ended };
    const { status = 'no answer', bytes, durationMs } = ended;
    log(
      '%s %s//%s%s: %s, %d bytes, %d ms',
      method,
      url.protocol,
      url.host,
      record.path,
      status,
      bytes,
      Math.round(durationMs),
    );
    const { rateLimit } = ended;
    if (rateLimit) {
      log('%s: %d of %d requests are left', url.host, rateLimit.remaining, rateLimit.limit);
      rateLimits.publish({ registry, host: url.host, ...rateLimit });
    }
    requests.publish(record);
    this.#options.onRequest?.(record);
  }
}

/** The only value of a header, its first one if the server repeated it. */
export function headerOf({ headers }: Pick<HttpResponse, 'headers'>, name: string): string | undefined {
  return headerLines({ headers }, name)[0];
}

export function headerLines({ headers }: Pick<HttpResponse, 'headers'>, name: string): readonly string[] {
  const value = headers[name];
  return value === undefined ? [] : [value].flat();
}

function openBody(body: RequestBody | undefined, onFailure: (error: unknown) => void): Readable | Uint8Array | null {
  const content = body?.open() ?? null;
  if (content === null || content instanceof Uint8Array) return content;
  // undici takes iterables too, though its types do not say so; a stream around one costs a third of the system's time.
  return reportingFailure(content, onFailure) as unknown as Readable;
}

/** A source that cannot be read is no fault of the connection; what undici throws into this generator is none of it. */
async function* reportingFailure(content: AsyncIterable<Uint8Array>, onFailure: (error: unknown) => void) {
  const iterator = content[Symbol.asyncIterator]();
  const next = () =>
    iterator.next().catch((error) => {
      onFailure(error);
      throw error;
    });
  try {
    for (let piece = await next(); !piece.done; piece = await next()) yield piece.value;
  } finally {
    await iterator.return?.();
  }
}

/** Interim answers (1xx) begin undici's wait anew each: a server that sends nothing else would keep a client for ever. */
function interimLimit(timeoutMs: number): () => void {
  let since: number | undefined;
  return () => {
    since ??= performance.now();
    if (performance.now() - since < timeoutMs) return;
    throw new TransportFault('timeout', 'it did not answer in time, only that it will', true, undefined);
  };
}

/** Without a port in the URL, http is at another one: it may answer where nothing does for https. @see registry.md 5.4 */
function noTlsThere(error: unknown, { port }: URL): boolean {
  const code = errorCode(error) ?? '';
  if (port === '' && (code === 'ECONNREFUSED' || code === connectTimeoutCode)) return true;
  return saysNotTls(error) || code === handshakeTimeoutCode;
}

function asPlainHttp(request: HttpRequest): HttpRequest {
  const url = new URL(request.url);
  url.protocol = 'http:';
  return { ...request, url, httpFallback: false };
}
