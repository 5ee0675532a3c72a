import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';

/** One request whose path has been understood. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly query: URLSearchParams;
  /** A valid repository name; empty for the base path. */
  readonly repository: string;
  /** The last part of the path: a tag or digest, or an upload's id; empty where the path ends before one. */
  readonly item: string;
}

/** An answer. The same reply serves GET and HEAD: for HEAD the body is left out, and a lazy one never opened. */
export interface Reply {
  readonly status: number;
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Uint8Array | LazyBody;
}

export interface LazyBody {
  /** Bytes that `open` delivers. */
  readonly size: number;
  open(): Readable | Uint8Array;
}

export type Handler = (exchange: Exchange) => Reply | Promise<Reply>;

export function jsonBody(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
