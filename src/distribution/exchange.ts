import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { RequestBody } from './request-body.ts';
import type { Awaitable, ByteSource } from './storage.ts';

/** One request whose path has been understood. */
export interface Exchange {
  readonly request: IncomingMessage;
  readonly body: RequestBody;
  /** Who asks: the user who has logged in, else the address. */
  readonly client: string;
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
  readonly body?: Uint8Array | LazyBytes | FileRange;
}

export interface LazyBytes {
  /** Bytes that `read` delivers. */
  readonly size: number;
  read(): Awaitable<Uint8Array>;
}

/** Bytes of a file from `start` on. */
export interface FileRange {
  readonly start: number;
  readonly size: number;
  open(): Promise<ByteSource>;
}

export type Handler = (exchange: Exchange) => Awaitable<Reply>;

export function jsonBody(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
