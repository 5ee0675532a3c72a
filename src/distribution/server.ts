import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { debugLog } from '../lib/debug.ts';
import { errorCode, errorMessage, LadingError } from '../lib/errors.ts';
import { BlobStore } from '../store/index.ts';
import { blobHandlers } from './blobs.ts';
import { Refusal } from './errors.ts';
import { type Handler, jsonBody, type Reply } from './exchange.ts';
import { type ManifestRules, manifestHandlers } from './manifests.ts';
import { Metadata } from './metadata.ts';
import { referrerHandlers } from './referrers.ts';
import { errorReply, sendReply } from './reply.ts';
import { type Endpoint, route } from './routes.ts';
import { tagHandlers } from './tags.ts';
import { UploadSessions } from './upload-sessions.ts';
import { uploadHandlers, uploadsHandlers } from './uploads.ts';

const debug = debugLog('distribution');
const maxHeaderBytes = 32 * 1024;
/** Longer than clients keep a connection for their next request, so that they close it and not we under their hands. */
const keepAliveMs = 95_000;
const expiryCheckMs = 60 * 60 * 1000;
/** What `close` gives to requests under way. */
const closeGraceMs = 2_000;
/** A client that left before it could be answered; the number that nginx logs for it. */
const clientClosedRequest = 499;

export interface RegistryOptions {
  /** Folder of everything the registry keeps; made if it is missing. */
  readonly root: string;
  /** Address to listen on; `127.0.0.1` unless given. */
  readonly host?: string | undefined;
  /** 0, the default, is any free port. */
  readonly port?: number | undefined;
  /** An index whose manifests are not all in the repository is refused unless this allows it. */
  readonly sparseIndexes?: ManifestRules['sparseIndexes'] | undefined;
  /** Called when a request has ended, however it ended. */
  readonly onRequest?: ((record: AccessRecord) => void) | undefined;
}

export interface AccessRecord {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** 499 if the client left before it was answered. */
  readonly status: number;
  /** Of the body that was sent. */
  readonly bytes: number;
  readonly userAgent: string | undefined;
  readonly durationMs: number;
}

export interface Registry {
  /** `host:port`, as in an image reference. */
  readonly address: string;
  readonly port: number;
  /** Lets requests under way end for a moment, then cuts them. What was acknowledged is kept, uploads can go on later. */
  close(): Promise<void>;
}

/**
 * Serves an OCI distribution registry over HTTP, without authentication.
 * @throws LadingError `ERR_LADING_DISTRIBUTION_LISTEN`, and `…_ROOT`, `…_IN_USE` or `…_TOO_NEW` for its folder
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { root, host = '127.0.0.1', port = 0, sparseIndexes = 'refused', onRequest } = options;
  const metadata = new Metadata(root);
  const blobs = new BlobStore(root);
  const sessions = new UploadSessions(blobs, metadata);
  const endpoints: Endpoints = {
    base: { GET: () => ({ status: 200, headers: { 'Content-Type': 'application/json' }, body: jsonBody({}) }) },
    manifest: manifestHandlers(metadata, { sparseIndexes }),
    blob: blobHandlers(blobs, metadata),
    uploads: uploadsHandlers({ sessions, metadata, blobs }),
    upload: uploadHandlers(sessions),
    tags: tagHandlers(metadata),
    referrers: referrerHandlers(metadata),
  };
  const running = new Set<Promise<void>>();
  const server = createServer({ maxHeaderSize: maxHeaderBytes, keepAliveTimeout: keepAliveMs, requestTimeout: 0 });
  server.on('request', (request, response) => {
    const work = handle(endpoints, request, response, onRequest)
      .catch((error: unknown) => {
        debug('a %s was not answered: %s', request.method, error);
        response.destroy();
      })
      .finally(() => running.delete(work));
    running.add(work);
  });
  try {
    await listen(server, { host, port });
  } catch (error) {
    metadata.close();
    throw error;
  }
  const expire = () => sessions.expire(Date.now()).catch((error: unknown) => debug('expire uploads: %s', error));
  let expiring = expire();
  const expiryTimer = setInterval(() => {
    expiring = expire();
  }, expiryCheckMs).unref();
  const { port: boundPort } = server.address() as AddressInfo;
  return {
    address: `${host.includes(':') ? `[${host}]` : host}:${boundPort}`,
    port: boundPort,
    close: async () => {
      clearInterval(expiryTimer);
      await closeServer(server, running);
      await expiring;
      await sessions.close();
      metadata.close();
    },
  };
}

type Endpoints = Readonly<Record<Endpoint, Readonly<Partial<Record<string, Handler>>>>>;

async function handle(
  endpoints: Endpoints,
  request: IncomingMessage,
  response: ServerResponse,
  onRequest: RegistryOptions['onRequest'],
): Promise<void> {
  const startedAt = performance.now();
  const { path, query } = splitTarget(request.url ?? '/');
  let bytes = 0;
  response.once('close', () => {
    onRequest?.({
      method: request.method ?? '',
      path,
      status: response.headersSent ? response.statusCode : clientClosedRequest,
      bytes,
      userAgent: request.headers['user-agent'],
      durationMs: performance.now() - startedAt,
    });
  });
  let reply: Reply;
  try {
    reply = await answer(endpoints, request, { path, query });
  } catch (error) {
    if (!(error instanceof Refusal)) debug('%s %s failed: %s', request.method, path, error);
    reply = errorReply(error);
  }
  // What a refused request still sends is read away, or the next one on the connection would never be seen.
  request.resume();
  if (response.destroyed) return;
  await sendReply(request, response, {
    reply,
    onBytes: (count) => {
      bytes += count;
    },
  });
}

async function answer(
  endpoints: Endpoints,
  request: IncomingMessage,
  { path, query }: { path: string; query: string },
): Promise<Reply> {
  const found = route(path);
  if (!found) throw new Refusal(404, { code: 'UNSUPPORTED', message: 'the registry has nothing at this path' });
  const handlers = endpoints[found.endpoint];
  const method = request.method === 'HEAD' ? 'GET' : (request.method ?? '');
  const handler = handlers[method];
  if (!handler) {
    const allowed = Object.keys(handlers).flatMap((name) => (name === 'GET' ? ['GET', 'HEAD'] : [name]));
    const error = { code: 'UNSUPPORTED', message: 'the registry does not support this method here' } as const;
    throw new Refusal(405, error, { Allow: allowed.join(', ') });
  }
  const { repository, item } = found;
  return await handler({ request, query: new URLSearchParams(query), repository, item });
}

/** Takes the path as it is written: to normalise it would give one repository several names. */
function splitTarget(target: string): { path: string; query: string } {
  const local = target.replace(/^https?:\/\/[^/?]*/i, '');
  const mark = local.indexOf('?');
  return mark < 0 ? { path: local, query: '' } : { path: local.slice(0, mark), query: local.slice(mark + 1) };
}

async function listen(server: Server, { host, port }: { host: string; port: number }): Promise<void> {
  try {
    server.listen({ host, port });
    await once(server, 'listening');
  } catch (error) {
    const reason = errorCode(error) === 'EADDRINUSE' ? 'another program is listening there' : errorMessage(error);
    throw new LadingError(
      'ERR_LADING_DISTRIBUTION_LISTEN',
      `the registry cannot listen on ${host}:${port}: ${reason}`,
      {
        hint: 'Choose another port, or 0 for any that is free.',
        cause: error,
        data: { host, port },
      },
    );
  }
}

async function closeServer(server: Server, running: ReadonlySet<Promise<void>>): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const graceEnd = new AbortController();
  await Promise.race([closed, sleep(closeGraceMs, undefined, { signal: graceEnd.signal }).catch(() => undefined)]);
  graceEnd.abort();
  server.closeAllConnections();
  await closed;
  await Promise.all(running);
}
