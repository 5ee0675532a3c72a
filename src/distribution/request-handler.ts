import type { IncomingMessage, ServerResponse } from 'node:http';
import { debugLog } from '../lib/debug.ts';
import type { AccessRecord } from './access-record.ts';
import type { Authentication } from './authentication.ts';
import { Refusal } from './errors.ts';
import type { Handler, Reply } from './exchange.ts';
import { errorReply, type ReadyReply, readyReply, sendReply } from './reply.ts';
import { RequestBody } from './request-body.ts';
import { type Endpoint, type Route, route } from './routes.ts';
import type { Storage } from './storage.ts';

const debug = debugLog('distribution');
/** A client that left before it could be answered; the number that nginx logs for it. */
const clientClosedRequest = 499;

export type Endpoints = Readonly<Record<Endpoint, Readonly<Partial<Record<string, Handler>>>>>;

export interface HandlerOptions {
  readonly endpoints: Endpoints;
  readonly storage: Storage;
  /** Undefined where everybody may do everything. */
  readonly authentication: Authentication | undefined;
  /** How long a body may stand still. */
  readonly idleBodyMs: number;
  readonly onRequest: (record: AccessRecord) => void;
}

/** From a request to its answer and its line in the log. */
export class RequestHandler {
  readonly running = new Set<Promise<void>>();
  readonly #options: HandlerOptions;

  constructor(options: HandlerOptions) {
    this.#options = options;
  }

  handle(request: IncomingMessage, response: ServerResponse): void {
    const work = this.#handle(request, response)
      .catch((error: unknown) => {
        debug('a %s was not answered: %s', request.method, error);
        response.destroy();
      })
      .finally(() => this.running.delete(work));
    this.running.add(work);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedAt = performance.now();
    const { idleBodyMs, onRequest } = this.#options;
    const { path, query } = splitTarget(request.url ?? '/');
    const body = new RequestBody(request, { idleMs: idleBodyMs });
    // The socket does not know it any more when the connection has ended.
    const address = request.socket.remoteAddress ?? '';
    const seen: Seen = { user: undefined, endpoint: undefined };
    let bytes = 0;
    response.once('close', () => {
      onRequest({
        method: request.method ?? '',
        path,
        status: response.headersSent ? response.statusCode : clientClosedRequest,
        bytes,
        receivedBytes: body.received,
        userAgent: request.headers['user-agent'],
        address,
        ...seen,
        durationMs: performance.now() - startedAt,
      });
    });
    let reply: ReadyReply;
    try {
      const answer = await this.#answer({ request, body, path, query: new URLSearchParams(query), address }, seen);
      reply = await readyReply(request, answer);
    } catch (error) {
      if (!(error instanceof Refusal)) debug('%s %s failed: %s', request.method, path, error);
      reply = await readyReply(request, errorReply(error));
    }
    // What a refused request still sends is read away, or the next one on the connection would never be seen.
    request.resume();
    await sendReply(response, reply, {
      idleMs: idleBodyMs,
      onBytes: (count) => {
        bytes += count;
      },
    });
  }

  async #answer(asked: Asked, seen: Seen): Promise<Reply> {
    const { request, body, query, path, address } = asked;
    const { endpoints, authentication } = this.#options;
    seen.user = await authentication?.admit(request);
    const found = route(path);
    if (!found) throw new Refusal(404, { code: 'UNSUPPORTED', message: 'the registry has nothing at this path' });
    seen.endpoint = found.endpoint;
    const handler = handlerFor(endpoints, found, request.method ?? '');
    const { repository, headers } = this.#repository(found, query);
    const { item } = found;
    const reply = await handler({ request, body, client: seen.user ?? address, query, repository, item });
    return headers ? { ...reply, headers: { ...reply.headers, ...headers } } : reply;
  }

  /** A mirror's client says in `ns` which registry it means. @see registry.md 5.3 */
  #repository({ repository }: Route, query: URLSearchParams): { repository: string; headers?: Record<string, string> } {
    const { storage } = this.#options;
    const registry = query.get('ns');
    if (registry === null || repository === '' || !storage.repositoryOf) return { repository };
    return { repository: storage.repositoryOf(registry, repository), headers: { 'OCI-Namespace': registry } };
  }
}

interface Asked {
  readonly request: IncomingMessage;
  readonly body: RequestBody;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly address: string;
}

/** What becomes known of a request while it is answered. */
interface Seen {
  user: string | undefined;
  endpoint: Endpoint | undefined;
}

function handlerFor(endpoints: Endpoints, { endpoint }: Route, requested: string): Handler {
  const handlers = endpoints[endpoint];
  const handler = handlers[requested === 'HEAD' ? 'GET' : requested];
  if (handler) return handler;
  const allowed = Object.keys(handlers).flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name]));
  const error = { code: 'UNSUPPORTED', message: 'the registry does not support this method here' } as const;
  throw new Refusal(405, error, { Allow: allowed.join(', ') });
}

/** Takes the path as it is written: to normalise it would give one repository several names. */
function splitTarget(target: string): { path: string; query: string } {
  const local = target.replace(/^https?:\/\/[^/?]*/i, '');
  const mark = local.indexOf('?');
  return mark < 0 ? { path: local, query: '' } : { path: local.slice(0, mark), query: local.slice(mark + 1) };
}
