import { errorCode, errorMessage } from '../lib/errors.ts';
import { connectTimeoutCode, handshakeTimeoutCode } from './connector.ts';
import { printable } from './redact.ts';
import type { RegistryErrorKind } from './registry-error.ts';

/** Why no answer came, or not all of it. Stays inside this folder: callers get a `RegistryError` with the context. */
export class TransportFault extends Error {
  readonly kind: RegistryErrorKind;
  /** The same request may succeed a moment later. */
  readonly retryable: boolean;
  /** What helps against this one, rather than against its kind. */
  readonly hint: string | undefined;

  constructor(kind: RegistryErrorKind, message: string, retryable: boolean, cause: unknown, hint?: string) {
    super(message, { cause });
    this.kind = kind;
    this.retryable = retryable;
    this.hint = hint;
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
  const { kind, message, retryable, hint } = isProxyFault(errorCode(error) ?? '') ? proxyRefusal(error) : fault;
  const isAboutProxy = kind === 'refused' || kind === 'no-such-host';
  return new TransportFault(
    kind,
    `through the proxy ${proxy}: ${message}`,
    retryable,
    error,
    hint ?? (isAboutProxy ? proxyHint : undefined),
  );
}

const proxyHint = 'Check that the proxy runs, and what HTTPS_PROXY, HTTP_PROXY and NO_PROXY say.';

/**
 * What undici throws when a proxy answers something else than 200 to CONNECT, and 407 to any other request; and when one
 * that speaks SOCKS 5 refuses.
 */
function isProxyFault(code: string): boolean {
  return /^UND_ERR_(ABORTED|INVALID_ARG|PRX_CONN|PRX_TLS|SOCKS5.*)$/.test(code);
}

function proxyRefusal(error: unknown): TransportFault {
  const { cause } = error as { cause?: unknown };
  const message = errorMessage(error);
  // undici tells the status in its text only.
  const passes = /\(50[234]\)/.test(message) || (cause !== undefined && sorted(cause).retryable);
  return new TransportFault('refused', `it refused to connect (${message})`, passes, error);
}

function sorted(error: unknown): TransportFault {
  if (error instanceof AggregateError && error.errors.length > 0) return sorted(mostTelling(error.errors));
  const code = errorCode(error) ?? '';
  const known = faults[code];
  if (known) return new TransportFault(known[0], known[1], known[2] === 'retryable', error);
  const message = errorMessage(error);
  if (saysNotTls(error)) {
    return new TransportFault('tls', 'what answers there does not speak TLS', false, error, noTlsHint);
  }
  if (/CERT|^ERR_TLS_|^ERR_SSL_|SIGNATURE|^EPROTO$/.test(code)) return tlsFault(code, message, error);
  return new TransportFault('protocol', `it does not answer in HTTP: ${message}`, false, error);
}

/** Of the failures of all addresses of a host. Most machines have no way to one of IPv6, and that is not the reason. */
function mostTelling(errors: readonly unknown[]): unknown {
  const isUnreachable = (error: unknown) => /^(?:ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL)$/.test(errorCode(error) ?? '');
  return errors.find((error) => !isUnreachable(error)) ?? errors[0];
}

function tlsFault(code: string, message: string, cause: unknown): TransportFault {
  const { reason = message } = cause as { reason?: string }; // OpenSSL's, without its files and lines
  const [problem, hint] = certificateFaults[code] ?? [`TLS failed: ${printable(reason)}`, tlsHint];
  const names = code === 'ERR_TLS_CERT_ALTNAME_INVALID' ? namesOfCertificate(cause) : '';
  return new TransportFault('tls', `${problem}${names} (${code})`, false, cause, hint);
}

/** ` (registry.test, 127.0.0.1)`: those that the certificate is for. */
function namesOfCertificate(error: unknown): string {
  const { cert } = error as { cert?: { subjectaltname?: string } };
  const names = [...(cert?.subjectaltname ?? '').matchAll(/(?:^|, )[\w ]+:([^,]+)/g)].map(([, name]) => name);
  return names.length === 0 ? '' : `: ${printable(names.join(', '))}`;
}

const authorityHint =
  "Add the authority to the system's, or name its file in NODE_EXTRA_CA_CERTS, or as ca in certs.d/HOST/hosts.toml.";
const noTlsHint =
  'Registries must speak https; one that speaks http can be configured as a server in certs.d/HOST/hosts.toml.';
const tlsHint = 'Lading speaks TLS 1.2 and 1.3: see whether the registry, or a proxy before it, does.';
const clientHint = 'Name a certificate and its key as client in certs.d/HOST/hosts.toml.';
const unknownAuthority = ['its certificate comes from an authority that is not trusted here', authorityHint] as const;

const certificateFaults: Readonly<Record<string, readonly [problem: string, hint: string]>> = {
  DEPTH_ZERO_SELF_SIGNED_CERT: ['its certificate is self-signed and not trusted here', authorityHint],
  SELF_SIGNED_CERT_IN_CHAIN: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT: unknownAuthority,
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: unknownAuthority,
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: unknownAuthority,
  CERT_HAS_EXPIRED: [
    'its certificate has expired',
    'The operator of the registry must renew it; check the clock of this machine too.',
  ],
  CERT_NOT_YET_VALID: ['its certificate is not valid yet', 'Check the clock of this machine.'],
  ERR_TLS_CERT_ALTNAME_INVALID: [
    'its certificate is for another name',
    'Ask for the registry by a name that its certificate is for, or have that one added to it.',
  ],
  ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED: ['it wants a client certificate', clientHint],
  'ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE': ['it wants a client certificate, or another one', clientHint],
};

/** The peer answered a TLS greeting with bytes that are no TLS record, as a plain HTTP server does. */
export function saysNotTls(error: unknown): boolean {
  return errorCode(error) === 'ERR_SSL_WRONG_VERSION_NUMBER';
}
