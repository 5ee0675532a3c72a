import { type ErrorDetails, LadingError } from '../lib/errors.ts';

/** What went wrong, for programs. */
export type RegistryErrorKind =
  | 'no-such-host'
  | 'refused'
  | 'reset'
  | 'tls'
  | 'timeout'
  | 'stalled'
  | 'truncated'
  | 'server-error'
  | 'rate-limited'
  | 'unauthorized'
  | 'denied'
  | 'not-found'
  | 'unsupported'
  | 'digest-mismatch'
  | 'too-large'
  | 'protocol';

/** Facts about a failure at a registry. */
export type RegistryErrorData = {
  readonly kind: RegistryErrorKind;
  /** The registry could not be asked, or could not answer; another try later may succeed without any change. */
  readonly unreachable: boolean;
  /** The registry of the reference. */
  readonly registry: string;
  /** The host that was asked, if another one: a token server, a storage host. */
  readonly host?: string;
  readonly status?: number;
  /** Code and message of the registry's own first error. */
  readonly registryCode?: string;
  readonly registryMessage?: string;
  /** Origins of the credentials that were offered, in order; empty when the registry was asked anonymously. */
  readonly credentials?: readonly string[];
  /** How long the registry asked to wait. */
  readonly retryAfterMs?: number;
  /** Where several endpoints were asked: each of them, in order, and why it was of no use. */
  readonly endpoints?: readonly { readonly host: string; readonly code: string; readonly message: string }[];
};

const unreachableKinds: ReadonlySet<RegistryErrorKind> = new Set([
  'no-such-host',
  'refused',
  'reset',
  'timeout',
  'stalled',
  'truncated',
  'server-error',
  'rate-limited',
]);

/** A request to a registry failed for good: retries and further credentials are used up, or cannot help. */
export class RegistryError extends LadingError {
  declare readonly data: RegistryErrorData;

  /** @param data `unreachable` follows from the kind unless given */
  constructor(
    kind: RegistryErrorKind,
    message: string,
    data: Omit<RegistryErrorData, 'kind' | 'unreachable'> & { readonly unreachable?: boolean },
    details: Omit<ErrorDetails, 'data'> = {},
  ) {
    super(`ERR_LADING_REGISTRY_${kind.toUpperCase().replaceAll('-', '_')}`, message, {
      ...details,
      data: { unreachable: unreachableKinds.has(kind), ...data, kind },
    });
  }
}

/** Whether the error says that the registry could not be asked, rather than what it answered. */
export function isUnreachable(error: unknown): boolean {
  return error instanceof RegistryError && error.data.unreachable;
}
