import { unlessAborted } from '../lib/abort.ts';
import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import { type Credential, type CredentialSource, fingerprint } from './credentials.ts';

const log = debugLog('registry');

/** For what a credential is wanted. */
export interface CredentialSubject {
  readonly registry: string;
  readonly repository: string;
}

/** What a client knows about credentials: what its source said last, and which of several worked where. */
export class CredentialStore {
  readonly #source: CredentialSource;
  readonly #known = new Map<string, readonly Credential[]>();
  readonly #underWay = new Map<string, Promise<readonly Credential[]>>();
  readonly #worked = new Map<string, string>();
  readonly #closed = new AbortController();

  constructor(source: CredentialSource) {
    this.#source = source;
  }

  /** What the source said last about a registry; undefined when it was not asked yet. */
  known({ registry, repository }: CredentialSubject): readonly Credential[] | undefined {
    const known = this.#known.get(registry);
    return known && mostSpecific(known, repository);
  }

  /** Asks the source, now; questions at the same time share the answer. @throws also the signal's reason */
  async lookUp(
    { registry, repository }: CredentialSubject,
    signal: AbortSignal | undefined,
  ): Promise<readonly Credential[]> {
    let asked = this.#underWay.get(registry);
    if (!asked) {
      asked = this.#ask(registry).finally(() => this.#underWay.delete(registry));
      this.#underWay.set(registry, asked);
    }
    return mostSpecific(await unlessAborted(asked, signal), repository);
  }

  /** The same where nothing demanded a credential: a source that does not work counts as empty. */
  async lookUpIfPossible(subject: CredentialSubject, signal: AbortSignal | undefined): Promise<readonly Credential[]> {
    try {
      return this.known(subject) ?? (await this.lookUp(subject, signal));
    } catch (error) {
      signal?.throwIfAborted();
      log('no credentials for %s: %s', subject.registry, errorMessage(error));
      return [];
    }
  }

  async #ask(registry: string): Promise<readonly Credential[]> {
    const credentials = await this.#source(registry, { signal: this.#closed.signal });
    this.#known.set(registry, credentials);
    return credentials;
  }

  /** Nobody waits for the source any more. */
  close(): void {
    this.#closed.abort();
  }

  /** Remembers the credential that a place accepted. */
  worked(credential: Credential, place: string): void {
    this.#worked.set(place, fingerprint(credential));
  }

  /** The same credentials, the one that worked last time first. */
  inOrder(credentials: readonly Credential[], place: string): readonly Credential[] {
    const worked = this.#worked.get(place);
    const first = credentials.find((credential) => fingerprint(credential) === worked);
    return first ? [first, ...credentials.filter((credential) => credential !== first)] : credentials;
  }
}

/** Those for the longest path that the repository lies in; entries without a secret say "anonymous here". */
export function mostSpecific(credentials: readonly Credential[], repository: string): readonly Credential[] {
  const fitting = credentials.filter(({ path = '' }) => path === '' || `${repository}/`.startsWith(`${path}/`));
  const longest = Math.max(...fitting.map(({ path = '' }) => path.length));
  return fitting.filter((credential) => (credential.path ?? '').length === longest && hasSecret(credential));
}

export function hasSecret({ username, password, identityToken, registryToken }: Credential): boolean {
  return [username, password, identityToken, registryToken].some((part) => part !== undefined);
}

export function originsOf(credentials: readonly Credential[]): string[] {
  return credentials.map(({ origin }) => origin);
}
