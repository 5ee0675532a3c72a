import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer as createHttpServer, type RequestListener, type Server, type ServerOptions } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { errorCode, errorMessage, LadingError } from '../lib/errors.ts';

const serverOptions: ServerOptions = {
  maxHeaderSize: 32 * 1024,
  // Longer than clients keep a connection for their next request, so that they close it and not we under their hands.
  keepAliveTimeout: 95_000,
  // A large layer over a slow line takes hours; a body that does not move is cut elsewhere.
  requestTimeout: 0,
};
/** What `close` gives to requests under way. */
const closeGraceMs = 2_000;

/** PEM files. */
export interface TlsOptions {
  /** The server's certificate, followed by those between it and its authority. */
  readonly certFile: string;
  readonly keyFile: string;
}

export interface ListenOptions {
  readonly host: string;
  readonly port: number;
  /** https with it, http without. */
  readonly tls?: TlsOptions | undefined;
}

/** An HTTP or HTTPS server that listens. */
export class Listener {
  readonly port: number;
  /** `host:port`, as in an image reference. */
  readonly address: string;
  readonly url: string;
  readonly #server: Server;
  readonly #tls: TlsOptions | undefined;

  private constructor(server: Server, { host, tls }: ListenOptions) {
    this.#server = server;
    this.#tls = tls;
    this.port = (server.address() as AddressInfo).port;
    this.address = `${host.includes(':') ? `[${host}]` : host}:${this.port}`;
    this.url = `${tls ? 'https' : 'http'}://${this.address}`;
  }

  /** @throws LadingError `ERR_LADING_DISTRIBUTION_LISTEN`, `ERR_LADING_DISTRIBUTION_TLS` */
  static async open(options: ListenOptions, onRequest: RequestListener): Promise<Listener> {
    const { tls } = options;
    const server = tls
      ? createHttpsServer({ ...serverOptions, ...(await readCertificate(tls)) }, onRequest)
      : createHttpServer(serverOptions, onRequest);
    await listen(server, options);
    return new Listener(server, options);
  }

  /**
   * Takes the certificate from its files again, for connections from now on.
   * @throws LadingError `ERR_LADING_DISTRIBUTION_TLS`; the certificate stays as it was then
   */
  async reload(): Promise<void> {
    if (!this.#tls || !('setSecureContext' in this.#server)) return;
    (this.#server as ReturnType<typeof createHttpsServer>).setSecureContext(await readCertificate(this.#tls));
  }

  /** Takes no more requests; lets those under way end for a moment, then cuts them. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeIdleConnections();
    const graceEnd = new AbortController();
    await Promise.race([closed, sleep(closeGraceMs, undefined, { signal: graceEnd.signal }).catch(() => undefined)]);
    graceEnd.abort();
    this.#server.closeAllConnections();
    await closed;
  }
}

async function readCertificate({ certFile, keyFile }: TlsOptions): Promise<SecureContextOptions> {
  try {
    const [cert, key] = await Promise.all([readFile(certFile), readFile(keyFile)]);
    createSecureContext({ cert, key });
    return { cert, key };
  } catch (error) {
    const message = `the certificate in ${certFile} with the key in ${keyFile} cannot be used: ${errorMessage(error)}`;
    throw new LadingError('ERR_LADING_DISTRIBUTION_TLS', message, {
      hint: 'Both are PEM files, the key without a passphrase, and belong together.',
      cause: error,
      data: { certFile, keyFile },
    });
  }
}

async function listen(server: Server, { host, port }: ListenOptions): Promise<void> {
  try {
    server.listen({ host, port });
    await once(server, 'listening');
  } catch (error) {
    const reason = errorCode(error) === 'EADDRINUSE' ? 'another program is listening there' : errorMessage(error);
    const message = `the registry cannot listen on ${host}:${port}: ${reason}`;
    throw new LadingError('ERR_LADING_DISTRIBUTION_LISTEN', message, {
      hint: 'Choose another port, or 0 for any that is free.',
      cause: error,
      data: { host, port },
    });
  }
}
