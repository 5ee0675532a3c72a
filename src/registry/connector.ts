import { connect as connectTcp, type LookupFunction, type Socket } from 'node:net';
import { type ConnectionOptions, createSecureContext, getCACertificates } from 'node:tls';
import type { buildConnector as undiciConnector } from 'undici';
import { errorCode } from '../lib/errors.ts';
import type { LargeReads } from './large-reads.ts';
import { buildConnector } from './undici.ts';

export interface TlsOptions {
  /** Certificates in PEM to trust beside those of Node.js and of the system. */
  readonly ca?: string | Buffer | readonly (string | Buffer)[] | undefined;
}

/** Certificate and key in PEM that show who we are. */
export interface ClientCertificate {
  readonly cert: string;
  readonly key: string;
}

/** What differs between the connections to one endpoint and to another. */
export interface ConnectionSettings {
  /** `unverified` accepts any certificate. */
  readonly certificates: 'verified' | 'unverified';
  /** In PEM, to trust beside the system's. */
  readonly ca: readonly string[];
  readonly clients: readonly ClientCertificate[];
  /** Until the connection stands; the client's usual time when undefined. */
  readonly dialTimeoutMs: number | undefined;
}

export const plainConnection: ConnectionSettings = {
  certificates: 'verified',
  ca: [],
  clients: [],
  dialTimeoutMs: undefined,
};

/**
 * The settings for another host that an endpoint sends us to: the same authorities are trusted there, but it is not
 * told who we are, and its certificate must be right.
 */
export function settingsElsewhere(settings: ConnectionSettings): ConnectionSettings {
  return { ...settings, certificates: 'verified', clients: [] };
}

export interface ConnectorOptions {
  readonly settings: ConnectionSettings;
  readonly tls: TlsOptions;
  readonly connectTimeoutMs: number;
  readonly handshakeTimeoutMs: number;
  /** Name resolution; that of Node.js by default. */
  readonly lookup: LookupFunction | undefined;
  /** For connections without TLS. */
  readonly largeReads: LargeReads;
}

/** Codes of the errors that this connector makes itself; the names are Node's. */
export const connectTimeoutCode = 'ETIMEDOUT';
export const handshakeTimeoutCode = 'ERR_TLS_HANDSHAKE_TIMEOUT';

/**
 * How long one of several addresses may take before the next one is tried instead; Node.js gives the former up then. The
 * second time is for networks that are slower than that, where an address that cannot be reached at all may come last.
 */
const addressTimeoutsMs = [250, 5000] as const;

/** Opens connections for undici, with separate limits for TCP and TLS: the second one says "this is not TLS". */
export function createConnector(options: ConnectorOptions): undiciConnector.connector {
  let handshake: undiciConnector.connector | undefined;
  return (target, callback) => {
    const [hurriedMs, patientMs] = addressTimeoutsMs;
    let socket: Socket;
    let timer = setTimeout(
      () => socket.destroy(timeoutError(connectTimeoutCode, 'the connection')),
      options.settings.dialTimeoutMs ?? options.connectTimeoutMs,
    );
    let settled = false;
    const settle = (error: Error | null, connected: Socket | null) => {
      clearTimeout(timer);
      if (settled) return; // a failure below TLS is reported by both sockets
      settled = true;
      if (error) callback(error, null);
      else callback(null, connected!);
    };
    const open = (addressTimeoutMs: number) => {
      socket = openTcp(target, addressTimeoutMs, options);
      socket.on('error', (error) => {
        if (addressTimeoutMs === hurriedMs && hasSlowAddress(error)) open(patientMs);
        else settle(error, null);
      });
      socket.once('connect', connected);
    };
    const connected = () => {
      if (target.protocol !== 'https:') return settle(null, socket);
      clearTimeout(timer);
      timer = setTimeout(
        () => socket.destroy(timeoutError(handshakeTimeoutCode, 'the TLS handshake')),
        options.handshakeTimeoutMs,
      );
      handshake ??= createHandshake(options);
      handshake({ ...target, httpSocket: socket }, (error, secured) => {
        // A refusal of our certificate comes after the handshake, and its end would hide it from undici.
        secured?.once('error', () => secured.destroy());
        settle(error, secured);
      });
    };
    open(hurriedMs);
  };
}

function hasSlowAddress(error: Error): boolean {
  return error instanceof AggregateError && error.errors.some((one) => errorCode(one) === connectTimeoutCode);
}

function openTcp(
  target: undiciConnector.Options,
  addressTimeoutMs: number,
  { lookup, largeReads }: ConnectorOptions,
): Socket {
  const settings = {
    host: target.hostname,
    port: Number(target.port || (target.protocol === 'https:' ? 443 : 80)),
    noDelay: true,
    keepAlive: true,
    autoSelectFamilyAttemptTimeout: addressTimeoutMs,
    ...(lookup && { lookup }),
  };
  return target.protocol === 'http:' ? largeReads.connect(settings) : connectTcp(settings);
}

function createHandshake(options: ConnectorOptions): undiciConnector.connector {
  return buildConnector({ allowH2: false, timeout: 0, ...tlsSettings(options) });
}

/** For every handshake with the hosts that `settings` are for. */
export function tlsSettings({
  settings,
  tls,
}: Pick<ConnectorOptions, 'settings' | 'tls'>): Pick<ConnectionOptions, 'secureContext' | 'rejectUnauthorized'> {
  const { certificates, clients } = settings;
  const secureContext = createSecureContext({
    // None at all instead of Node's own: to read those takes 6 ms.
    ca: certificates === 'unverified' ? [] : authorities(settings, tls),
    cert: clients.map(({ cert }) => cert),
    key: clients.map(({ key }) => key),
    minVersion: 'TLSv1.2',
  });
  return { secureContext, ...(certificates === 'unverified' && { rejectUnauthorized: false }) };
}

/** Node.js trusts its own list of authorities only; administrators add theirs to the system's. */
function authorities(settings: ConnectionSettings, tls: TlsOptions): (string | Buffer)[] {
  const extra = tls.ca === undefined ? [] : ([tls.ca].flat() as (string | Buffer)[]);
  return [...new Set([...getCACertificates('default'), ...getCACertificates('system'), ...extra, ...settings.ca])];
}

function timeoutError(code: string, what: string): Error {
  return Object.assign(new Error(`${what} timed out`), { code });
}
