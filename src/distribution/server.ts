import type { RequestListener } from 'node:http';
import type { AccessRecord } from './access-record.ts';
import { Authentication, type UserOptions } from './authentication.ts';
import { blobReading } from './blobs.ts';
import { catalogHandlers } from './catalog.ts';
import { type AnyContent, type Content, openContent } from './content.ts';
import { type Handler, jsonBody } from './exchange.ts';
import { Listener, type TlsOptions } from './listener.ts';
import { manifestReading } from './manifests.ts';
import { Metrics } from './metrics.ts';
import { referrerHandlers } from './referrers.ts';
import { type Endpoints, RequestHandler } from './request-handler.ts';
import { tagHandlers } from './tags.ts';

const usualIdleBodyMs = 60_000;

/** How requests are answered. */
export interface HandlingOptions {
  /** Who may do what; everybody everything unless given. */
  readonly users?: UserOptions | undefined;
  /** A client whose body stands still for so long is cut off; 60 s unless given. */
  readonly idleBodyMs?: number | undefined;
  /** Called when a request has ended, however it ended. */
  readonly onRequest?: ((record: AccessRecord) => void) | undefined;
}

/** Where requests come from, and how they are answered. */
export interface ServingOptions extends HandlingOptions {
  /** Address to listen on; `127.0.0.1` unless given. */
  readonly host?: string | undefined;
  /** 0, the default, is any free port. */
  readonly port?: number | undefined;
  /** https with it, http without. */
  readonly tls?: TlsOptions | undefined;
}

/** How to serve, and what. */
export type RegistryOptions = ServingOptions & AnyContent;

/** A registry in somebody else's HTTP server. */
export interface OpenRegistry {
  /** Answers a request for `/v2/…` or `/metrics`, and any other path with 404. */
  readonly handle: RequestListener;
  /** Waits for the requests under way. Call when no more come in. */
  close(): Promise<void>;
}

/** A registry that listens. */
export interface Registry {
  /** `host:port`, as in an image reference. */
  readonly address: string;
  readonly url: string;
  readonly port: number;
  /**
   * Reads the certificate again; users are read again by themselves.
   * @throws LadingError `ERR_LADING_DISTRIBUTION_TLS`; it goes on with the certificate that it has
   */
  reload(): Promise<void>;
  /** Lets requests under way end for a moment, then cuts them. What was acknowledged is kept, uploads can go on later. */
  close(): Promise<void>;
}

/**
 * Serves an OCI distribution registry.
 * @throws LadingError `ERR_LADING_DISTRIBUTION_LISTEN`, `…_TLS`, and as `openRegistry`
 * @see https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
export async function startRegistry(options: RegistryOptions): Promise<Registry> {
  const { host = '127.0.0.1', port = 0, tls } = options;
  const registry = await openRegistry(options);
  try {
    const listener = await Listener.open({ host, port, tls }, registry.handle);
    return {
      address: listener.address,
      url: listener.url,
      port: listener.port,
      reload: () => listener.reload(),
      close: async () => {
        await listener.close();
        await registry.close();
      },
    };
  } catch (error) {
    await registry.close();
    throw error;
  }
}

/**
 * An OCI distribution registry for an HTTP server that is there already. That server should have a `requestTimeout` of 0:
 * a large layer over a slow line takes hours.
 * @throws LadingError `ERR_LADING_DISTRIBUTION_ROOT`, `…_IN_USE`, `…_TOO_NEW` or `…_LAYOUT` for its content; `…_USERS`
 */
export async function openRegistry(options: HandlingOptions & AnyContent): Promise<OpenRegistry> {
  const { users, idleBodyMs = usualIdleBodyMs, onRequest } = options;
  const metrics = new Metrics();
  const authentication = users && (await Authentication.open(users));
  const content = await openContent(options, (outcome) => metrics.garbage(outcome));
  const { storage } = content;
  const base: Handler = () => ({
    status: 200,
    // A client that asks here only, and may read without a login, learns in this way how it logs in to push.
    headers: { 'Content-Type': 'application/json', ...authentication?.headers },
    body: jsonBody({}),
  });
  const metricsText: Handler = () => ({
    status: 200,
    headers: { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' },
    body: Buffer.from(metrics.text({ requestsInFlight: handler.running.size, openUploads: content.openUploads() })),
  });
  const handler = new RequestHandler({
    endpoints: endpointsOf(content, { base, metrics: metricsText }),
    storage,
    authentication,
    idleBodyMs,
    onRequest: (record) => {
      metrics.request(record);
      onRequest?.(record);
    },
  });
  return {
    handle: (...exchange) => handler.handle(...exchange),
    close: async () => {
      await Promise.all(handler.running);
      await content.close();
      await authentication?.close();
    },
  };
}

function endpointsOf({ storage, writing }: Content, own: { base: Handler; metrics: Handler }): Endpoints {
  return {
    base: { GET: own.base },
    catalog: catalogHandlers(storage),
    manifest: { ...manifestReading(storage), ...writing.manifest },
    blob: { ...blobReading(storage), ...writing.blob },
    uploads: writing.uploads,
    upload: writing.upload,
    tags: tagHandlers(storage),
    referrers: referrerHandlers(storage),
    metrics: { GET: own.metrics },
  };
}
