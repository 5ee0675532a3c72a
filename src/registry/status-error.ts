import { parseChallenges, selectChallenge } from './challenge.ts';
import { printable, secretsOfUrl } from './redact.ts';
import { RegistryError, type RegistryErrorKind } from './registry-error.ts';
import { type HttpResponse, headerLines } from './transport.ts';
import type { TransportFault } from './transport-fault.ts';

/** What was being done, for messages. */
export interface Asked {
  readonly registry: string;
  /** Whom: `registry example.com`, `the token server auth.example.com of registry example.com`. */
  readonly whom: string;
  /** For what: `the manifest team/app:1.0`. */
  readonly what: string;
  /** Origins of the credentials that were offered, in order. */
  readonly credentials: readonly string[];
  /** Whether another host than the registry answered, which the registry sent the request on to. */
  readonly elsewhere?: boolean;
}

/** An answer with the beginning of its body, if it is an error. */
export interface Refusal extends HttpResponse {
  readonly errorBody: Uint8Array;
}

export interface StatusErrorOptions {
  readonly retryAfterMs?: number | undefined;
  /** Texts that must not appear, should the registry quote them. */
  readonly secrets?: readonly string[];
}

/** The error for an answer that is not what was hoped for. */
export function statusError(asked: Asked, refusal: Refusal, options: StatusErrorOptions = {}): RegistryError {
  const { status } = refusal;
  const said = registryErrorOf(refusal, [...(options.secrets ?? []), ...secretsOfUrl(refusal.url)]);
  const expired = saysExpired(refusal) && !asked.elsewhere;
  const kind = expired ? 'unauthorized' : kindOfStatus(status, said.code);
  const { retryAfterMs } = options;
  const parts = [
    `${capitalized(asked.whom)} answered ${status} ${statusText(status)}`.trim(),
    ` for ${asked.what}, ${credentialsClause(asked)}`,
    said.text === '' ? '' : `: ${said.text}`,
  ];
  return new RegistryError(
    kind,
    parts.join(''),
    {
      registry: asked.registry,
      ...(refusal.url.host !== asked.registry && { host: refusal.url.host }),
      status,
      // Also 501, whose kind says what cannot be done: no registry that works lacks what a pull needs.
      ...(status >= 500 && { unreachable: true }),
      ...(said.code !== undefined && { registryCode: said.code }),
      ...(said.message !== undefined && { registryMessage: said.message }),
      credentials: asked.credentials,
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    },
    { hint: unknownLogin(refusal) ?? hintForStatus(kind, asked, { retryAfterMs, code: said.code }) },
  );
}

/** The hint for a registry that wants a login in no way that is known here: a user may have logged in long ago. */
function unknownLogin(refusal: Refusal): string | undefined {
  if (refusal.status !== 401) return undefined;
  const challenges = parseChallenges(headerLines(refusal, 'www-authenticate'));
  if (challenges.length === 0 || selectChallenge(challenges)) return undefined;
  const schemes = challenges.map(({ scheme }) => scheme).join(', ');
  return `It wants a login by ${printable(schemes)}; Lading knows Basic, and Bearer with an http or https realm.`;
}

/** The error for an answer that never came, or not whole. */
export function faultError(asked: Asked, fault: TransportFault): RegistryError {
  const answer = fault.kind === 'truncated' ? 'Incomplete answer' : 'No answer';
  const message = `${answer} from ${asked.whom} for ${asked.what}: ${fault.message}`;
  const hint = fault.hint ?? hintsForFaults[fault.kind];
  const { registry, credentials } = asked;
  return new RegistryError(fault.kind, message, { registry, credentials }, { hint, cause: fault.cause });
}

/** An error that Lading found in an answer that the registry meant well. */
export function contentError(kind: RegistryErrorKind, asked: Asked, problem: string, hint?: string): RegistryError {
  const { registry, credentials, whom, what } = asked;
  return new RegistryError(
    kind,
    `${capitalized(whom)} answered for ${what}, but ${problem}`,
    { registry, credentials },
    { hint },
  );
}

const hintsForFaults: Partial<Record<RegistryErrorKind, string>> = {
  'no-such-host': "Check the registry's name in the image reference, and the name servers of this machine.",
  refused: 'Check that the registry runs, and that its port is right.',
  reset: 'Something between here and the registry ends connections; try again.',
  timeout: 'Check that this machine can reach the registry (firewall, proxy, network).',
  truncated: 'Something between here and the registry ends connections; try again.',
};

/** What a 404 is about, where the registry says it. */
const hintsForCodes: Readonly<Record<string, string>> = {
  NAME_UNKNOWN: 'There is no such repository, or you may not see it: check its spelling.',
  MANIFEST_UNKNOWN: 'Check the spelling of the tag; lading ls-tags REPOSITORY lists those that there are.',
  BLOB_UNKNOWN: 'The registry has lost a part of the image; push it again.',
};

function hintForStatus(
  kind: RegistryErrorKind,
  { registry, credentials, elsewhere }: Asked,
  { retryAfterMs, code = '' }: { retryAfterMs: number | undefined; code: string | undefined },
) {
  const login = `Log in to ${registry} (docker config.json), or give the pod an imagePullSecret for it.`;
  switch (kind) {
    case 'unauthorized':
    case 'denied':
      if (elsewhere) {
        return 'The address that the registry gave does not hold there; it may have expired: try again. A login does not help.';
      }
      return credentials.length === 0
        ? `${login} Registries answer the same for a repository that does not exist: check the name too.`
        : `The credentials may be wrong or expired, or may lack the right; log in to ${registry} again.`;
    case 'not-found':
      return hintsForCodes[code] ?? 'Check the spelling of the repository and of the tag.';
    case 'rate-limited':
      return !retryAfterMs
        ? 'Try again later; some registries allow more to users who are logged in.'
        : `Try again in ${Math.ceil(retryAfterMs / 1000)} s; some registries allow more to users who are logged in.`;
    case 'server-error':
      return 'The registry has a problem of its own; try again later.';
    case 'unsupported':
      return 'This registry does not offer that operation, or it is switched off there.';
    default:
      return undefined;
  }
}

function kindOfStatus(status: number, code: string | undefined): RegistryErrorKind {
  if (status === 401) return 'unauthorized';
  if (status === 403) return 'denied';
  if (status === 404) return 'not-found';
  if (status === 413) return 'too-large';
  if (status === 429) return 'rate-limited';
  if (status === 405 || status === 501 || code === 'UNSUPPORTED') return 'unsupported';
  if (status === 408 || status >= 499) return 'server-error';
  return 'protocol';
}

function credentialsClause({ credentials }: Asked): string {
  return credentials.length === 0 ? 'asked without credentials' : `asked with ${credentials.join(', then with ')}`;
}

interface SaidError {
  readonly code: string | undefined;
  readonly message: string | undefined;
  /** Both, for people; empty when there is nothing. */
  readonly text: string;
}

/** The forms of registries (`errors`), of OAuth servers (`error`), of Docker Hub (`details`), of S3, and plain text. */
function registryErrorOf(refusal: Refusal, secrets: readonly string[]): SaidError {
  const clean = (value: unknown): string | undefined => {
    if (typeof value !== 'string' || value === '') return undefined;
    return printable(
      secrets.filter((secret) => secret !== '').reduce((text, s) => text.replaceAll(s, 'REDACTED'), value),
    );
  };
  const body = Buffer.from(refusal.errorBody).toString('utf8');
  let code: string | undefined;
  let message: string | undefined;
  try {
    const json = JSON.parse(body) as Record<string, unknown>;
    const first = (Array.isArray(json.errors) ? json.errors[0] : undefined) as Record<string, unknown> | undefined;
    code = clean(first?.code ?? json.error ?? json.code);
    message = clean(first?.message ?? json.error_description ?? json.details ?? json.message);
  } catch {
    const type = String(refusal.headers['content-type'] ?? '');
    if (type.startsWith('text/plain')) message = clean(body);
    if (/^(?:application|text)\/xml\b/.test(type)) {
      code = clean(/<Code>([^<]*)</.exec(body)?.[1]);
      message = clean(/<Message>([^<]*)</.exec(body)?.[1]);
    }
  }
  return { code, message, text: [code, message].filter((part) => part !== undefined).join(': ') };
}

function capitalized(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** Expired credentials come as 403 (ECR) or 400 (ECR Public) without a challenge. @see registry.md 3.7 */
export function saysExpired({ status, errorBody }: Pick<Refusal, 'status' | 'errorBody'>): boolean {
  return (status === 400 || status === 403) && /expired/i.test(Buffer.from(errorBody).toString('utf8'));
}

/** An import would load what Node.js has besides in that module, fetch above all: 40 ms of the processor. */
function statusText(status: number): string {
  return process.getBuiltinModule('node:http').STATUS_CODES[status] ?? '';
}
