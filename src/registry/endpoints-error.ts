import { errorCode, LadingError } from '../lib/errors.ts';
import { RegistryError, type RegistryErrorKind } from './registry-error.ts';
import { maxRetryAfterMs } from './retry.ts';

/** Why one endpoint was of no use. */
export interface Failure {
  /** Host with optional port. */
  readonly host: string;
  readonly error: LadingError;
}

/** The same endpoint may do better a moment later. */
export function isPassing(error: unknown): boolean {
  if (!(error instanceof RegistryError)) return false;
  const { kind, retryAfterMs = 0 } = error.data;
  if (kind === 'no-such-host') return errorCode(error.cause) === 'EAI_AGAIN';
  return passingKinds.has(kind) && retryAfterMs <= maxRetryAfterMs;
}

/** The endpoint gave no answer at all. */
export function isTransportFailure(error: unknown): boolean {
  return error instanceof RegistryError && transportKinds.has(error.data.kind);
}

const transportKinds: ReadonlySet<RegistryErrorKind> = new Set([
  'no-such-host',
  'refused',
  'reset',
  'tls',
  'timeout',
  'truncated',
]);

const passingKinds: ReadonlySet<RegistryErrorKind> = new Set([
  'refused',
  'reset',
  'timeout',
  'truncated',
  'server-error',
  'rate-limited',
]);

/**
 * The error for endpoints of which none was of use: each with its reason. The most telling one gives the code: too
 * large, then a refusal, then wrong content, then "not found", then no answer. The registry counts as unreachable when
 * its last endpoint, which is the registry itself unless configured otherwise, could not be asked: a mirror's "not here"
 * says nothing about it.
 * @see registry.md 5.3
 */
export function endpointsError(registry: string, failures: readonly Failure[]): LadingError {
  const leading = failures.reduce((most, failure) => (rank(failure.error) > rank(most.error) ? failure : most)).error;
  if (failures.length === 1) return leading;
  const message = `None of the ${failures.length} endpoints of ${registry} was of use: ${failures
    .map(({ error }) => error.message)
    .join('; ')}`;
  const endpoints = failures.map(({ host, error }) => ({ host, code: error.code, message: error.message }));
  const details = { hint: leading.hint, cause: leading };
  if (!(leading instanceof RegistryError)) {
    return new LadingError(leading.code, message, { ...details, data: { ...leading.data, endpoints } });
  }
  const { kind, ...data } = leading.data;
  const last = failures.at(-1)!.error;
  const unreachable = last instanceof RegistryError && last.data.unreachable;
  return new RegistryError(kind, message, { ...data, unreachable, endpoints }, details);
}

function rank(error: LadingError): number {
  if (!(error instanceof RegistryError)) return 3;
  const { kind } = error.data;
  if (kind === 'too-large') return 5;
  if (transportKinds.has(kind)) return 1;
  if (kind === 'not-found') return 2;
  return kind === 'digest-mismatch' || kind === 'protocol' ? 3 : 4;
}
