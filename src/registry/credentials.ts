import { createHash } from 'node:crypto';

/** What Lading may show to one registry. Any one of the three forms: a password, an identity token, a registry token. */
export interface Credential {
  readonly username?: string;
  readonly password?: string;
  /** A refresh token, exchanged at the token server only. */
  readonly identityToken?: string;
  /** A bearer token for the registry itself, sent as it is. */
  readonly registryToken?: string;
  /** The host that it is for, if not the registry of the reference: it is shown to no other. */
  readonly host?: string;
  /** Repositories that it is for: this one and those below it. All of the host's when undefined. */
  readonly path?: string;
  /** Where it was found, for messages: `docker config.json (/root/.docker/config.json)`. */
  readonly origin: string;
}

/**
 * Finds the credentials for a registry, or for a mirror by its host, best first; an empty list means anonymous. Asked
 * anew after a rejection. Of those with a `path`, the most specific one counts; without any secret, it means anonymous.
 * The signal is aborted when nobody waits for the answer any more.
 */
export type CredentialSource = (
  registry: string,
  options?: { readonly signal?: AbortSignal },
) => Promise<readonly Credential[]>;

/** Two credentials with the same secrets have the same fingerprint; it reveals none of them. */
export function fingerprint(credential: Credential | undefined): string {
  if (!credential) return 'anonymous';
  const { username, password, identityToken, registryToken } = credential;
  return createHash('sha256')
    .update(JSON.stringify([username, password, identityToken, registryToken]))
    .digest('base64url');
}

/** `Basic …` for a user and password, in UTF-8. */
export function basicAuthorization(username: string, password: string): string {
  return `Basic ${Buffer.from(`${username}:${password}`, 'utf8').toString('base64')}`;
}
