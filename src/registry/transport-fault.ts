import { errorCode, errorMessage } from '../lib/errors.ts';
import { connectTimeoutCode, handshakeTimeoutCode } from './connector.ts';
import { printable } from './redact.ts';
import type { RegistryErrorKind } from './registry-error.ts';

/** Why no answer came, or not all of it. Stays inside this folder: callers get a `RegistryError` with the context. */
export class TransportFault extends Error {
  readonly kind: RegistryErrorKind;
  /** The same request may succeed a moment later. */
  readonly retryable: boolean;

  constructor(kind: RegistryErrorKind, message: string, retryable: boolean, cause: unknown) {
    super(message, { cause });
    this.kind = kind;
    this.retryable = retryable;
  }
}

const faults: Readonly<Record<string, readonly [RegistryErrorKind, string, 'retryable' | 'final']>> = {
  ENOTFOUND: ['no-such-host', 'no such host', 'final'],
  EAI_AGAIN: ['no-such-host', 'its name could not be resolved for now', 'retryable'],
  ECONNREFUSED: ['refused', 'it refused the connection', 'retryable'],
  EHOSTUNREACH: ['refused', 'there is no route to it', 'retryable'],
  ENETUNREACH: ['refused', 'its network is unreachable', 'retryable'],
  ECONNRESET: ['reset', 'the connection was reset', 'retryable'],
  EPIPE: ['reset', 'the connection was reset', 'retryable'],
  UND_ERR_SOCKET: ['reset', 'the connection was closed early', 'retryable'],
  UND_ERR_CLOSED: ['reset', 'this client was closed', 'final'],
  UND_ERR_DESTROYED: ['reset', 'this client was closed', 'final'],
  UND_ERR_CONNECT_TIMEOUT: ['timeout', 'the connection timed out', 'retryable'],
  UND_ERR_HEADERS_TIMEOUT: ['timeout', 'it did not answer in time', 'retryable'],
  UND_ERR_BODY_TIMEOUT: ['timeout', 'it stopped sending', 'retryable'],
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH: ['reset', 'the answer ended early', 'retryable'],
  UND_ERR_REQ_CONTENT_LENGTH_MISMATCH: ['digest-mismatch', 'what was to be sent has another length', 'final'],
  UND_ERR_HEADERS_OVERFLOW: ['protocol', 'its answer has too large headers', 'final'],
  [connectTimeoutCode]: ['timeout', 'the connection timed out', 'retryable'],
  [handshakeTimeoutCode]: ['timeout', 'the TLS handshake timed out', 'retryable'],
};

/**
 * Sorts whatever undici, TLS or the socket threw. An aborted request is not a fault: see `signal.reason`.
 * @param proxy name of the proxy that the request went through
 */
export function transportFault(error: unknown, proxy?: string): TransportFault {
  if (error instanceof TransportFault) return error;
  const fault = sorted(error);
  if (proxy === undefined) return fault;
  const { kind, message, retryable } = proxyFaults.has(errorCode(error) ?? '') ? proxyRefusal(error) : fault;
  return new TransportFault(kind, `through the proxy ${proxy}: ${message}`, retryable, error);
}

/** What undici throws when a proxy answers something else than 200 to CONNECT, and 407 to any other request. */
const proxyFaults = new Set(['UND_ERR_ABORTED', 'UND_ERR_INVALID_ARG', 'UND_ERR_PRX_CONN', 'UND_ERR_PRX_TLS']);

function proxyRefusal(error: unknown): TransportFault {
  return new TransportFault('refused', `it refused to connect (${errorMessage(error)})`, false, error);
}

function sorted(error: unknown): TransportFault {
  const code = errorCode(error) ?? '';
  const known = faults[code];
  if (known) return new TransportFault(known[0], known[1], known[2] === 'retryable', error);
  const message = errorMessage(error);
  if (error instanceof AggregateError && error.errors.length > 0) return sorted(error.errors[0]);
  if (saysNotTls(error)) return new TransportFault('tls', 'what answers there does not speak TLS', false, error);
  if (/CERT|^ERR_TLS_|^ERR_SSL_|SIGNATURE|^EPROTO$/.test(code)) {
    return new TransportFault(
      'tls',
      `${certificateFaults[code] ?? `TLS failed: ${printable(message)}`} (${code})`,
      false,
      error,
    );
  }
  return new TransportFault('protocol', `it does not answer in HTTP: ${message}`, false, error);
}

const certificateFaults: Readonly<Record<string, string>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is self-signed and not trusted here',
  SELF_SIGNED_CERT_IN_CHAIN: 'its certificate comes from an authority that is not trusted here',
  UNABLE_TO_GET_ISSUER_CERT: 'its certificate comes from an authority that is not trusted here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'its certificate comes from an authority that is not trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate comes from an authority that is not trusted here',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  CERT_NOT_YET_VALID: 'its certificate is not valid yet',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: 'it wants a client certificate',
  'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE': 'it wants a client certificate, or another one',
};

/** The peer answered a TLS greeting with bytes that are no TLS record, as a plain HTTP server does. */
export function saysNotTls(error: unknown): boolean {
  return errorCode(error) === 'ERR_SSL_WRONG_VERSION_NUMBER';
}
