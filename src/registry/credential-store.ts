import { debugLog } from '../lib/debug.ts';
import { errorMessage } from '../lib/errors.ts';
import { type Credential, type CredentialSource, fingerprint } from './credentials.ts';

const log = debugLog('registry');

/** What a client knows about credentials: what its source said last, and which of several worked where. */
export class CredentialStore {
  readonly #source: CredentialSource;
  readonly #known = new Map<string, readonly Credential[]>();
  readonly #underWay = new Map<string, Promise<readonly Credential[]>>();
  readonly #worked = new Map<string, string>();

  constructor(source: CredentialSource) {
    this.#source = source;
  }

  /** What the source said last about a registry; undefined when it was not asked yet. */
  known(registry: string): readonly Credential[] | undefined {
    return this.#known.get(registry);
  }

  /** Asks the source, now; questions at the same time share the answer. */
  lookUp(registry: string): Promise<readonly Credential[]> {
    const underWay = this.#underWay.get(registry);
    if (underWay) return underWay;
    const asked = this.#ask(registry).finally(() => this.#underWay.delete(registry));
    this.#underWay.set(registry, asked);
    return asked;
  }

  /** The same where nothing demanded a credential: a source that does not work counts as empty. */
  async lookUpIfPossible(registry: string): Promise<readonly Credential[]> {
    try {
      return this.known(registry) ?? (await this.lookUp(registry));
    } catch (error) {
      log('no credentials for %s: %s', registry, errorMessage(error));
      return [];
    }
  }

  async #ask(registry: string): Promise<readonly Credential[]> {
    const credentials = await this.#source(registry);
    this.#known.set(registry, credentials);
    return credentials;
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

export function originsOf(credentials: readonly Credential[]): string[] {
  return credentials.map(({ origin }) => origin);
}
