import { connect as connectTcp, type LookupFunction, type Socket } from 'node:net';
import { createSecureContext, getCACertificates, type SecureContext } from 'node:tls';
import { buildConnector } from 'undici';

export interface TlsOptions {
  /** Certificates in PEM to trust beside those of Node.js and of the system. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[];
}

export interface ConnectorOptions {
  /** `unverified` accepts any certificate. */
  readonly certificates: 'verified' | 'unverified';
  readonly tls: TlsOptions;
  readonly connectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  /** Name resolution; that of Node.js by default. */
  readonly lookup: LookupFunction | undefined;
}

/** Codes of the errors that this connector makes itself; the names are Node's. */
export const connectTimeoutCode = 'ETIMEDOUT';
export const handshakeTimeoutCode = 'ERR_TLS_HANDSHAKE_TIMEOUT';

/** Opens connections for undici, with separate limits for TCP and TLS: the second one says "this is not TLS". */
export function createConnector(options: ConnectorOptions): buildConnector.connector {
  let handshake: buildConnector.connector | undefined;
  return (target, callback) => {
    const socket = openTcp(target, options);
    let timer = setTimeout(
      () => socket.destroy(timeoutError(connectTimeoutCode, 'the connection')),
      options.connectTimeoutMs,
    );
    let settled = false;
    const settle = (error: Error | null, connected: Socket | null) => {
      clearTimeout(timer);
      if (settled) return; // a failure below TLS is reported by both sockets
      settled = true;
      if (error) callback(error, null);
      else callback(null, connected!);
    };
    socket.on('error', (error) => settle(error, null));
    socket.once('connect', () => {
      if (target.protocol !== 'https:') return settle(null, socket);
      clearTimeout(timer);
      timer = setTimeout(
        () => socket.destroy(timeoutError(handshakeTimeoutCode, 'the TLS handshake')),
        options.handshakeTimeoutMs,
      );
      handshake ??= createHandshake(options);
      handshake({ ...target, httpSocket: socket }, settle);
    });
  };
}

function openTcp(target: buildConnector.Options, { lookup }: ConnectorOptions): Socket {
  return connectTcp({
    host: target.hostname,
    port: Number(target.port || (target.protocol === 'https:' ? 443 : 80)),
    noDelay: true,
    keepAlive: true,
    ...(lookup && { lookup }),
  });
}

function createHandshake({ certificates, tls }: ConnectorOptions): buildConnector.connector {
  return buildConnector({
    allowH2: false,
    timeout: 0,
    ...(certificates === 'verified' ? { secureContext: trustingContext(tls) } : { rejectUnauthorized: false }),
  });
}

/** Node.js trusts its own list of authorities only; administrators add theirs to the system's. */
function trustingContext({ ca }: TlsOptions): SecureContext {
  const extra = ca === undefined ? [] : [ca].flat();
  const authorities = new Set<string | Buffer>([
    ...getCACertificates('default'),
    ...getCACertificates('system'),
    ...(extra as (string | Buffer)[]),
  ]);
  return createSecureContext({ ca: [...authorities], minVersion: 'TLSv1.2' });
}

function timeoutError(code: string, what: string): Error {
  return Object.assign(new Error(`${what} timed out`), { code });
}
