import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';

export interface ReceivedRequest {
  readonly method: string;
  /** With the query. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** Which of the server's connections brought it, from 1 on. */
  readonly connection: number;
}

/** Answers one request, as badly as the test wants it. */
export type Answer = (request: ReceivedRequest, response: ServerResponse) => unknown;

/** An HTTP server on loopback for what a real registry does not do on demand. It remembers what it was asked. */
export class HostileServer {
  readonly requests: ReceivedRequest[] = [];
  readonly #server: ReturnType<typeof createServer>;
  readonly #scheme: string;

  constructor(server: ReturnType<typeof createServer>, scheme: string) {
    this.#server = server;
    this.#scheme = scheme;
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** `127.0.0.1:PORT`, or `[::1]:PORT` */
  get address(): string {
    const { address, family } = this.#server.address() as AddressInfo;
    return `${family === 'IPv6' ? `[${address}]` : address}:${this.port}`;
  }

  get url(): string {
    return `${this.#scheme}://${this.address}`;
  }

  /** The requests as `METHOD path`. */
  get log(): readonly string[] {
    return this.requests.map(({ method, path }) => `${method} ${path}`);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

export async function startHostileServer(
  answer: Answer,
  tls?: { readonly cert: Buffer; readonly key: Buffer },
  host: '127.0.0.1' | '::1' = '127.0.0.1',
): Promise<HostileServer> {
  const connections = new WeakMap<Socket, number>();
  let connectionCount = 0;
  const listener = async (message: IncomingMessage, response: ServerResponse) => {
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(chunk);
    const { method = '', url = '', headers, socket } = message;
    const connection = connections.get(socket) ?? 0;
    const request = { method, path: url, headers, body: Buffer.concat(chunks), connection };
    hostile.requests.push(request);
    await answer(request, response);
  };
  const onRequest = (message: IncomingMessage, response: ServerResponse) => {
    listener(message, response).catch((error) => response.destroy(error));
  };
  const server = tls ? createTlsServer(tls, onRequest) : createServer(onRequest);
  server.on(tls ? 'secureConnection' : 'connection', (socket: Socket) => {
    connectionCount += 1;
    connections.set(socket, connectionCount);
    socket.on('error', () => {});
  });
  const hostile = new HostileServer(server, tls ? 'https' : 'http');
  server.listen(0, host);
  await once(server, 'listening');
  return hostile;
}

/** Announces `whole`, sends its first `count` bytes from `from` on, and ends the connection. */
export function cutBody(response: ServerResponse, whole: Uint8Array, { from = 0, count = 0 }): void {
  response.setHeader('content-length', whole.length - from);
  response.flushHeaders();
  response.write(whole.subarray(from, from + count), () => response.socket?.destroy());
}

export function sendJson(response: ServerResponse, status: number, value: unknown, headers: object = {}): void {
  response.writeHead(status, { 'content-type': 'application/json', ...headers });
  response.end(JSON.stringify(value));
}
